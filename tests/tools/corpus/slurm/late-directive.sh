#!/bin/bash
#SBATCH --job-name=early
#SBATCH --mem=100M
#SBATCH --time=10

echo "runs as $SLURM_JOB_NAME with ${SLURM_CPUS_PER_TASK:-no count of} CPUs a task"
#SBATCH --cpus-per-task=4
#SBATCH --job-name=late
