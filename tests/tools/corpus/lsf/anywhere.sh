#!/bin/sh
#BSUB -J begun
echo "$LSB_JOBNAME with $LSB_DJOB_NUMPROC slots"
#BSUB -n 2
#BSUB -W 10
echo "done"
#BSUB -M 200MB
