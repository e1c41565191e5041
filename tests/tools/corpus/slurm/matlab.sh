#!/bin/bash
#SBATCH -J matlab_fit
#SBATCH -L matlab:1
#SBATCH -a 1-2
#SBATCH -n 1
#SBATCH -c 4
#SBATCH -t 2:00:00
#SBATCH --mem=8g

matlab -nodisplay -nosplash -singleCompThread -r "try, fit_model($SLURM_ARRAY_TASK_ID), catch e, disp(e.message), exit(1), end, exit"
