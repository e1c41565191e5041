#!/usr/bin/env Rscript
#SBATCH --job-name=analysis
#SBATCH --time=60
#SBATCH --mem=4G
args <- commandArgs(trailingOnly = TRUE)
cat("cores:", Sys.getenv("SLURM_CPUS_ON_NODE"), "\n")
