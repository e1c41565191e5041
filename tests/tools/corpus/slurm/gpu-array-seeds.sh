#!/bin/bash
#SBATCH --array=0-15%4
#SBATCH --gpus=1
#SBATCH --mem=20G
#SBATCH -c 4
#SBATCH --time=360
#SBATCH --job-name=seeds
#SBATCH --nodelist=far1

lrs=(1e-2 1e-3 1e-4 1e-5)
lr=${lrs[$((SLURM_ARRAY_TASK_ID / 4))]}
seed=$((SLURM_ARRAY_TASK_ID % 4))
python train.py --lr "$lr" --seed "$seed" --tag "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
