#!/bin/bash
#SBATCH--job-name=tight
#SBATCH--time=90
#SBATCH	--mem=100M
#SBATCH   -c   2
echo "$SLURM_JOB_NAME: $SLURM_CPUS_PER_TASK"
