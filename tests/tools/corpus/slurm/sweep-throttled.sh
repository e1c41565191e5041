#!/bin/bash
#SBATCH --array=1-9%3
#SBATCH -J licensed
#SBATCH --mem=100M
#SBATCH -t 00:05:00
sim_id=$(printf 'sim_%02d' $SLURM_ARRAY_TASK_ID)
echo "$sim_id" | tr a-z A-Z
