#!/bin/bash
#SBATCH --job-name=nightly
#SBATCH --dependency=singleton
#SBATCH --time=5 --mem=100M
rsync -a source/ backup/
