#!/bin/bash
#SBATCH --array=3,7,11-13
#SBATCH -J cases
#SBATCH --mem=512M
#SBATCH -t 20
case $SLURM_ARRAY_TASK_ID in
    3) model=linear ;;
    7) model=quadratic ;;
    1?) model=spline ;;
    *) echo "no such case" >&2; exit 2 ;;
esac
echo "$SLURM_ARRAY_TASK_ID $model (from $SLURM_ARRAY_TASK_MIN to $SLURM_ARRAY_TASK_MAX, step $SLURM_ARRAY_TASK_STEP)"
