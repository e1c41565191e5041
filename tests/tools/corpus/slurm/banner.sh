#!/bin/sh
#SBATCH -J banner
#SBATCH -c 2
#SBATCH -t 5
#SBATCH --mem=256
set -u
echo "================================================"
echo "Job name : $SLURM_JOB_NAME"
echo "Node     : ${SLURMD_NODENAME:+a node}"
echo "CPUs     : $SLURM_CPUS_ON_NODE"
echo "User     : ${SLURM_JOB_USER:+a user}"
echo "================================================"
