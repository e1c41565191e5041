#!/bin/bash
#BSUB -J vasp
#BSUB -n 3
#BSUB -R "span[hosts=1]"
#BSUB -M 3GB
#BSUB -W 6:00
set -u
module load intel vasp
echo "$LSB_MCPU_HOSTS" | awk '{ print NF / 2 " host with " $2 " slots" }'
echo "$LSB_HOSTS" | tr ' ' '\n' | wc -l | tr -d ' '
mpirun -n $LSB_DJOB_NUMPROC vasp_std
