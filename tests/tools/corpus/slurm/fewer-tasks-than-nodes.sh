#!/bin/bash
#SBATCH -N 4 -n 2
#SBATCH --mem=1G
#SBATCH -t 20
#SBATCH -J sparse
echo "$SLURM_NTASKS tasks on $SLURM_NNODES nodes"
