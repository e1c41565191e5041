#!/bin/bash
#SBATCH --ntasks=2
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-gpu=6
#SBATCH --mem-per-gpu=30G
#SBATCH --time=8:00:00
#SBATCH --job-name=dock

srun -l bash -c 'CUDA_VISIBLE_DEVICES=$SLURM_LOCALID dock --seed $SLURM_PROCID'
