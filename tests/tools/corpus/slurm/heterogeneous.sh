#!/bin/bash
#SBATCH --ntasks=1 --mem=4G
#SBATCH hetjob
#SBATCH --ntasks=16 --mem=16G
srun --het-group=0,1 coupled_model
