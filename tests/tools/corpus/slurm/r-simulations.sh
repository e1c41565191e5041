#!/bin/bash
#SBATCH --job-name=sim
#SBATCH --array=1-4
#SBATCH --time=4:00:00
#SBATCH --mem=3G
#SBATCH --output=/dev/null

module load R/4.3
# n and rho of each simulation: all pairs, a line each.
awk 'BEGIN { for (n = 50; n <= 100; n += 50) for (r = 0; r < 2; r++) print n, r / 2 }' > "grid_$SLURM_ARRAY_TASK_ID.txt"
read -r n rho < <(awk -v t="$SLURM_ARRAY_TASK_ID" 'NR == t' "grid_$SLURM_ARRAY_TASK_ID.txt")
Rscript --vanilla simulate.R --n "$n" --rho "$rho" --task "$SLURM_ARRAY_TASK_ID"
