#!/bin/bash
#SBATCH -J gnu-parallel
#SBATCH -n 4
#SBATCH -t 1:00
#SBATCH --mem=1G
mkdir -p logs
parallel -j "$SLURM_NTASKS" --joblog "logs/state_$SLURM_JOB_NAME.log" 'echo "file {} has been converted"' ::: a.png b.png c.png
printf 'echo one\necho two\n' | parallel -j $SLURM_NTASKS
