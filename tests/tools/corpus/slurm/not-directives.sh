#!/bin/bash
# SBATCH --job-name=spaced
##SBATCH --job-name=doubled
 #SBATCH --job-name=indented
#sbatch --job-name=small
#SBATCH --time=10 --mem=100M
echo "runs as $SLURM_JOB_NAME"
