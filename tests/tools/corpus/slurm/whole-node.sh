#!/bin/bash
#SBATCH --job-name=whole
#SBATCH --nodes=1
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=1:00:00
echo "with ${SLURM_CPUS_ON_NODE:-some} CPUs" | sed 's/[0-9][0-9]*/some/'
