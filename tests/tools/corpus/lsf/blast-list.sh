#!/bin/sh
#BSUB -J blast[2,5,8]
#BSUB -W 30
#BSUB -M 2G
#BSUB -o blast_%J_%I.out
query=$(printf 'query_%02d.fa' "$LSB_JOBINDEX")
blastp -query "$query" -db nr -num_threads "${LSB_MAX_NUM_PROCESSORS:-1}"
