#!/bin/bash
#SBATCH -N 1
#SBATCH -n 2
#SBATCH --mem=1G
#SBATCH -t 10:00
set -euo pipefail
# The list of hosts, as a launcher of one's own wants it.
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
echo "${#hosts[@]} host"
[ "${hosts[0]}" = "$(hostname -s)" ] && echo "it is this one"
for h in "${hosts[@]}"; do printf '%s slots=%s\n' this "$SLURM_NTASKS"; done > hostfile
cat hostfile
