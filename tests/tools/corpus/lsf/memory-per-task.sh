#!/bin/bash
#BSUB -n 4
#BSUB -R "rusage[mem=2GB/task] span[hosts=1]"
#BSUB -W 1:00
#BSUB -J pertask
echo "$LSB_DJOB_NUMPROC slots"
