#!/bin/bash
#SBATCH --job-name=water
#SBATCH --cpus-per-task=8
#SBATCH --mem=15500M
#SBATCH --time=5-00
#SBATCH --array=1-2%2

basis=( "" "6-31G(d)" "cc-pVTZ" )
b=${basis[$SLURM_ARRAY_TASK_ID]}
mem=$(( SLURM_MEM_PER_NODE * 9 / 10 ))
cat <<INPUT > water_$SLURM_ARRAY_TASK_ID.com
%NProcShared=${SLURM_CPUS_PER_TASK}
%Mem=${mem}MB
#P B3LYP/$b Opt

water

0 1
O 0.0 0.0 0.0
INPUT
export GAUSS_SCRDIR=$(mktemp -d)
g16 < water_$SLURM_ARRAY_TASK_ID.com
head -n 3 water_$SLURM_ARRAY_TASK_ID.com
rmdir "$GAUSS_SCRDIR"
