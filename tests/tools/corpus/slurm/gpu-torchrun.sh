#!/bin/bash
#SBATCH -J torchrun
#SBATCH -N 4
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:8
#SBATCH -c 96
#SBATCH --mem=900G
#SBATCH -t 12:00:00
#SBATCH --signal=SIGUSR1@90
#SBATCH --requeue

nodes=( $(scontrol show hostnames $SLURM_JOB_NODELIST) )
head_node=${nodes[0]}
export LOGLEVEL=INFO NCCL_DEBUG=WARN
srun torchrun --nnodes $SLURM_NNODES --nproc_per_node 8 --rdzv_id $RANDOM \
    --rdzv_backend c10d --rdzv_endpoint "$head_node:29500" pretrain.py
