#!/bin/bash
#SBATCH --array=1-2
#SBATCH --job-name=mc
#SBATCH --mem=1G
#SBATCH -t 30
set -euo pipefail
seed=$(( (SLURM_ARRAY_JOB_ID + SLURM_ARRAY_TASK_ID) % 2147483647 ))
run=${SLURM_JOB_NAME}_${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
[[ $run =~ ^mc_[0-9]+_[12]$ ]] && echo "task $SLURM_ARRAY_TASK_ID has a name of its own"
[[ $seed -gt 0 ]] && awk -v seed="$seed" 'BEGIN { srand(seed); x = rand(); print (x < 1) ? "a draw" : "?" }'
