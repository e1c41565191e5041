#!/bin/bash
#SBATCH -t 1-2:3:4
#SBATCH --mem=100M
#SBATCH -J clock
echo "93784 seconds"
