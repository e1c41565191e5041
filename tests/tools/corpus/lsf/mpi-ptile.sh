#!/bin/bash
#BSUB -J cfd
#BSUB -n 4
#BSUB -R "span[ptile=2]"
#BSUB -R "rusage[mem=1GB]"
#BSUB -W 2:00
#BSUB -x
mpirun -np "$LSB_DJOB_NUMPROC" cfd_solver -case wing | sort
