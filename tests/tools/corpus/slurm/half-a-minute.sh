#!/bin/bash
#SBATCH --time=00:00:30
#SBATCH --mem=100M
#SBATCH -J short
echo "less than a minute"
