#!/bin/bash
#SBATCH --mem=1G
#SBATCH -c 2
#SBATCH -J first
#SBATCH --time=10
# The lines below were added for the large case.
#SBATCH --mem=2G
#SBATCH --cpus-per-task=4
#SBATCH --job-name=second

#SBATCH -t 20
echo "$SLURM_JOB_NAME $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE"
