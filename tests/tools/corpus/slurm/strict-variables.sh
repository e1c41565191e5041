#!/bin/bash
#SBATCH --job-name=strict
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=3
#SBATCH --mem=1200
#SBATCH --time=1:00

# The head of many a workflow: a variable that is not set ends it here.
set -euo pipefail
cat <<END
job         ${SLURM_JOB_NAME}
nodes       ${SLURM_JOB_NUM_NODES} ${SLURM_NNODES}
tasks       ${SLURM_NTASKS} ${SLURM_NPROCS} (${SLURM_TASKS_PER_NODE} a node)
cpus        ${SLURM_CPUS_ON_NODE} ${SLURM_JOB_CPUS_PER_NODE} (${SLURM_CPUS_PER_TASK} a task)
memory      ${SLURM_MEM_PER_NODE}
here        node ${SLURM_NODEID}, task ${SLURM_PROCID}, local ${SLURM_LOCALID}
END
[ "$SLURM_JOB_NODELIST" = "$SLURM_NODELIST" ] && echo "one list of nodes"
[ "$SLURM_JOB_ID" = "$SLURM_JOBID" ] && echo "one ID"
[ -n "$SLURM_SUBMIT_HOST" ] && [ -n "$SLURM_CLUSTER_NAME" ] && [ -d "$SLURM_SUBMIT_DIR" ] && echo "and where it comes from"
