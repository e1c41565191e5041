#!/bin/bash
#SBATCH --job-name=cavity
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --mem=2G
#SBATCH --time=0:30:00
#SBATCH --switches=1

set -e
cat > decomposeParDict <<DICT
numberOfSubdomains $SLURM_NTASKS;
method scotch;
DICT
grep numberOfSubdomains decomposeParDict
srun simpleFoam -parallel
echo "reconstructed from $SLURM_NTASKS parts of $SLURM_JOB_NUM_NODES nodes"
