#!/bin/bash
#SBATCH --job_name=wrong
#SBATCH --time=5
echo "it does not come to this"
