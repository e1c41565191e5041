#!/bin/bash
#SBATCH --dependency=foo:1
#SBATCH --time=5 --mem=100M
echo "it does not come to this"
