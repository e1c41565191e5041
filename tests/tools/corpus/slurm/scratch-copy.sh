#!/bin/bash
#SBATCH --job-name=scratch
#SBATCH --time=2:00:00
#SBATCH --mem=1G
#SBATCH --ntasks=1
set -euo pipefail

scratch=${SLURM_TMPDIR:-$(mktemp -d)}/$SLURM_JOB_NAME
mkdir -p "$scratch" results
copy_back() {
    cp "$scratch"/*.dat "$SLURM_SUBMIT_DIR/results/"
    rm -r "$scratch"
}
trap copy_back EXIT
echo "1 2 3" > input.txt
cp input.txt "$scratch"
( cd "$scratch" && tr ' ' '\n' < input.txt | awk '{ s += $1 } END { print s }' > sum.dat )
copy_back
trap - EXIT
cat results/sum.dat
