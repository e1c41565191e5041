#!/bin/sh
### General options
### -- specify queue --
#BSUB -q hpc
### -- set the job name --
#BSUB -J My_Application
### -- ask for number of cores (default: 1) --
#BSUB -n 4
### -- specify that the cores must be on the same host --
#BSUB -R "span[hosts=1]"
### -- specify that we need 512MB of memory per core --
#BSUB -R "rusage[mem=512MB]"
### -- the job is killed when it exceeds 3 GB --
#BSUB -M 3GB
#BSUB -W 24:00
#BSUB -u someone@example.org
#BSUB -B
#BSUB -N
#BSUB -o Output_%J.out
#BSUB -e Output_%J.err
# end of options
python3 -c "import os; print('threads', os.environ['LSB_DJOB_NUMPROC'])"
