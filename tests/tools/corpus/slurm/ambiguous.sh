#!/bin/bash
#SBATCH --tim=15
#SBATCH --mem=100M
echo "it does not come to this: --time and --time-min begin alike"
