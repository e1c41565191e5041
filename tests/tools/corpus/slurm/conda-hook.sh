#!/bin/bash
#SBATCH -J hook
#SBATCH -n1
#SBATCH -t30
#SBATCH --mem=1G
eval "$(conda shell.bash hook)"
conda activate snake
snakemake --snakefile Snakefile --cores "$SLURM_CPUS_ON_NODE" --rerun-incomplete
