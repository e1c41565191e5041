#!/bin/bash
#SBATCH --export=RUN=17,MODE=fast
#SBATCH --mem=100M
#SBATCH --time=5
#SBATCH -J exports
echo "run $RUN, $MODE"
