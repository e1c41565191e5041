#!/bin/bash
#SBATCH --jobname=wrong
#SBATCH --mem=100M
echo "it does not come to this"
