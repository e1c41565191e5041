#!/bin/bash
#SBATCH --job-name="my job (v2.1)"
#SBATCH --mem=100M
#SBATCH --time=5
#SBATCH --output='my job.%j.out'
echo "<$SLURM_JOB_NAME>"
