#!/bin/bash
#SBATCH --job-name=perrank
#SBATCH --ntasks=3
#SBATCH --mem=600M
#SBATCH --time=10
srun --output=rank_%t.log sh -c 'echo "I am $SLURM_PROCID"'
for f in rank_0.log rank_1.log rank_2.log; do echo "$f: $(cat "$f")"; done
srun -n 1 -o "step_%j.log" echo "one file" && cat "step_$SLURM_JOB_ID.log"
