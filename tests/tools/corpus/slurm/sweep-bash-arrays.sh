#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --array=0-5
#SBATCH --mem=1G
#SBATCH --time=1:0:0
temps=(280 300 320)
salts=(0.1 0.5)
i=$((SLURM_ARRAY_TASK_ID / ${#salts[@]}))
j=$((SLURM_ARRAY_TASK_ID % ${#salts[@]}))
printf 'task %d: T=%s K, c=%s M\n' "$SLURM_ARRAY_TASK_ID" "${temps[i]}" "${salts[j]}"
[[ $SLURM_ARRAY_TASK_ID -eq $SLURM_ARRAY_TASK_MAX ]] && echo "last of $SLURM_ARRAY_TASK_COUNT"
exit 0
