#!/bin/bash
#SBATCH --job-name=notebook
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=08:00:00
#SBATCH --output=jupyter-%j.log

# Two users on one node must not choose the same port.
port=$((10000 + SLURM_JOB_ID % 50000))
[ "$port" -ge 10000 ] && [ "$port" -lt 60000 ] && echo "a port between 10000 and 59999"
tail4=$(echo -n "$SLURM_JOBID" | tail -c 4)
master=$(expr 10000 + "$tail4") && [ "$master" -lt 20000 ] && echo "and one below 20000"
