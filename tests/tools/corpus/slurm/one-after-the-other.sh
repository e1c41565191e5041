#!/bin/bash
#SBATCH --array=1-3%1
#SBATCH -J segments
#SBATCH --mem=100M
#SBATCH -t 5
# Each segment begins where the one before it has ended.
echo "segment $SLURM_ARRAY_TASK_ID"
