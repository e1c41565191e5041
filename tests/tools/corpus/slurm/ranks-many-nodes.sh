#!/bin/bash
#SBATCH -N 3 -n 7
#SBATCH --mem-per-cpu=1G
#SBATCH -t 20
#SBATCH -J uneven
echo "$SLURM_NTASKS tasks on $SLURM_NNODES nodes, this is node $SLURM_NODEID"
