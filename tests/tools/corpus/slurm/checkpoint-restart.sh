#!/bin/bash
#SBATCH --job-name=chain
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --time=12:00:00
#SBATCH --mem=1G
#SBATCH -n 1
set -u
state=state.cpt
step=0
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && [ -f "$state" ]; then
    step=$(cat "$state")
    echo "goes on from step $step"
fi
while [ "$step" -lt 3 ]; do
    step=$((step + 1))
    echo "$step" > "$state.tmp" && mv "$state.tmp" "$state"
    echo "step $step"
done
