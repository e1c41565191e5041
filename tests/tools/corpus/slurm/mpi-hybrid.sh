#!/bin/bash
#SBATCH --job-name=hybrid
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=4
#SBATCH --nodes=1-1
#SBATCH --mem=3000M
#SBATCH --time=45:00
#SBATCH --distribution=block:cyclic

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK}
export OMP_PLACES=cores OMP_PROC_BIND=close
srun --cpus-per-task=$SLURM_CPUS_PER_TASK bash -c \
    'echo "rank $SLURM_PROCID of $SLURM_NTASKS with $OMP_NUM_THREADS threads"' | sort
