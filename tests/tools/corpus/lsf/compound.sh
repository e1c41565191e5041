#!/bin/bash
#BSUB -n 12
#BSUB -R "4*{select[gpu] rusage[mem=4000]} + 8*{rusage[mem=1000]}"
#BSUB -W 1:00
mpirun ./coupled
