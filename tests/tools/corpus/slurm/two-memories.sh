#!/bin/bash
#SBATCH --mem=4G
#SBATCH --mem-per-cpu=1G
#SBATCH --time=10
echo "it does not come to this: one of the two"
