#!/bin/bash
#SBATCH --job-name=fmriprep
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=4G
#SBATCH --time=10:00:00
#SBATCH --tmp=10G
#SBATCH --array=1-2

subjects=(sub-01 sub-02)
subject=${subjects[SLURM_ARRAY_TASK_ID - 1]}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export APPTAINERENV_OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
apptainer exec --cleanenv --bind "$PWD:/data" fmriprep.sif \
    echo "participant ${subject#sub-} with $APPTAINERENV_OMP_NUM_THREADS threads"
