#!/bin/bash
#SBATCH --job-name=collect
#SBATCH --dependency=afterany:1234567
#SBATCH --time=5 --mem=100M
cat part_*.csv > all.csv
