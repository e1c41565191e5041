#!/bin/bash
#SBATCHER --job-name=longer
#SBATCH --time=10 --mem=100M
echo "no directive: ${SLURM_JOB_NAME:-no name}"
