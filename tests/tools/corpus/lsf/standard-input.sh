#!/bin/bash
#BSUB -J stdin
#BSUB -i input.dat
#BSUB -M 100MB -W 5
read -r first && echo "first $first"
sort
