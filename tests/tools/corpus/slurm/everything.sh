#!/bin/bash -e
#SBATCH --job-name=all
#SBATCH --account=p_lab123 --qos=normal --wckey=fall
#SBATCH --partition=compute
#SBATCH --nice=100 --no-requeue --verbose
#SBATCH --begin=now
#SBATCH --mail-type=BEGIN,END,FAIL,TIME_LIMIT_80 --mail-user=me@example.org
#SBATCH --constraint=skylake --exclude=far[1-2] --contiguous
#SBATCH --threads-per-core=1 --ntasks-per-core=1
#SBATCH --ntasks=2 --cpus-per-task=2 --mem=2G --tmp=1G
#SBATCH --time=10:00 --time-min=5:00
#SBATCH --output=out.%N.%j --error=err.%N.%j
#SBATCH --profile=none --acctg-freq=30 --propagate=STACK
#SBATCH --comment=weekly
echo "$SLURM_JOB_NAME $SLURM_NTASKS"
