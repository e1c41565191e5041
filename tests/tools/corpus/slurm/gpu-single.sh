#!/bin/bash
#SBATCH --job-name=finetune
#SBATCH --partition=gpu
#SBATCH --gres=gpu:a100:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=1-00:00:00
#SBATCH --output=slurm-%j.out

module load cuda/12.1
nvidia-smi
source ~/venvs/torch/bin/activate
export TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
python train.py --config configs/base.yaml --output_dir runs/$SLURM_JOB_ID
