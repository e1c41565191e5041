#!/bin/bash
#SBATCH --job=brief --ntasks-per-n=2 --cpus-per-t 2
#SBATCH --time 15 --account lab -Q
#SBATCH --mem-per-c=200M
echo "$SLURM_JOB_NAME: $SLURM_NTASKS x $SLURM_CPUS_PER_TASK"
