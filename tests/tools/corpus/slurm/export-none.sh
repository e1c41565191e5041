#!/bin/bash -l
#SBATCH --export=NONE
#SBATCH --job-name=clean
#SBATCH --mem=100M
#SBATCH --time=5
unset SLURM_EXPORT_ENV
echo "${MY_OWN_SETTING:-no setting} came along"
