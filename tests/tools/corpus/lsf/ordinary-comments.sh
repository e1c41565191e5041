#!/bin/bash
#BSUB lines follow
#BSUB -J comments   # its name
##BSUB -n 16
#BSUBMIT -n 16
#BSUB -M 100MB -W 5
echo "$LSB_JOBNAME $LSB_DJOB_NUMPROC"
