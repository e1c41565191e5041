#!/bin/bash
#BSUB -J plain
#BSUB -R "select[mem>4000] rusage[mem=4000]"
#BSUB -M 4000000
#BSUB -W 10
echo "4 GB, in LSF's own units"
