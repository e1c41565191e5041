#!/bin/bash
#BSUB -J "sim[1-2]%2"
#BSUB -M 1GB
#BSUB -W 1:00
#BSUB -o sim.%J.%I
module load R
Rscript --vanilla - "$LSB_JOBINDEX" <<'R'
args <- commandArgs(TRUE)
cat("task", args[1], "\n")
R
