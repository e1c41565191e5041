#!/bin/bash
#SBATCH --job-name=lammps
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --mem-per-cpu=500M
#SBATCH --time=03:00:00
#SBATCH --exclusive=user

module load openmpi lammps
cat > in.lj <<'LJ'
units lj
run 100
LJ
mpirun -np $SLURM_NTASKS lmp -in in.lj
