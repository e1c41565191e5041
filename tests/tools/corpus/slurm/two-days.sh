#!/bin/bash
#SBATCH --time=2-
#SBATCH --mem=100M
#SBATCH -J days
echo "two days"
