#!/bin/bash
#SBATCH --mem=0.5G
#SBATCH --time=5
echo "it does not come to this"
