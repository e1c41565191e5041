#!/bin/bash
#SBATCH --signal=B:FOO@60
#SBATCH --time=5 --mem=100M
echo "it does not come to this"
