#!/bin/bash
#BSUB -J threads
#BSUB -n 2
#BSUB -R "affinity[core(4)]"
#BSUB -R "span[hosts=1]"
#BSUB -M 2GB
#BSUB -W 10
export OMP_NUM_THREADS=4
echo "$LSB_DJOB_NUMPROC tasks with $OMP_NUM_THREADS threads"
