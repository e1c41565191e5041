#!/bin/bash
#BSUB -J range
#BSUB -n 2,8
#BSUB -M 500MB
#BSUB -W 10
[ "$LSB_DJOB_NUMPROC" -ge 2 ] && echo "at least two"
