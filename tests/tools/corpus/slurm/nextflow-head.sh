#!/bin/bash
#SBATCH --job-name=nf-head
#SBATCH --ntasks=1 --cpus-per-task=1 --mem=4G
#SBATCH --time=3-00:00:00
unset DISPLAY
export NXF_OPTS="-Xms500M -Xmx2G" NXF_ANSI_LOG=false
nextflow run nf-core/rnaseq -r 3.14.0 -profile singularity -resume --input samples.csv
