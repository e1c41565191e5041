#!/bin/bash
#SBATCH -n 2
#SBATCH -t 1:00:00
#SBATCH --mem=2G
#SBATCH -J qe
set -e
# Two steps after each other, and two side by side.
srun -n 2 sh -c 'echo "scf $SLURM_PROCID"' | sort
srun -n 1 sh -c 'echo "bands with $SLURM_NTASKS"'
srun -n 1 --exact sh -c 'echo dos > dos.out' &
srun -n 1 --exact sh -c 'echo pdos > pdos.out' &
wait
cat dos.out pdos.out
