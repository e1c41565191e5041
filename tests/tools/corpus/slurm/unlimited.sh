#!/bin/bash
#SBATCH --time=UNLIMITED
#SBATCH --mem=1T
#SBATCH -J patient
echo "as long as it takes"
