#!/bin/bash
#SBATCH -a 1-3
#SBATCH -J partly
#SBATCH --mem=100M
#SBATCH -t 2
echo "task $SLURM_ARRAY_TASK_ID"
exit $(( SLURM_ARRAY_TASK_ID == 2 ? 7 : 0 ))
