#!/bin/bash
#SBATCH --job-name=farm
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --mem=1G
#SBATCH --time=30
set -u
seq 1 8 | xargs -P "$SLURM_CPUS_ON_NODE" -I{} sh -c 'echo "item {} squared: $(({} * {}))"' | sort
