#!/bin/bash
#SBATCH --job-name=relax
#SBATCH --time=1
#SBATCH --mem=200M
#SBATCH --signal=B:USR1@55
#SBATCH --open-mode=append

# Writes a checkpoint when the time is nearly up.
checkpoint() {
    echo "checkpoint written"
    kill "$worker"
    exit 0
}
trap checkpoint USR1
sleep 50 &
worker=$!
wait "$worker"
echo "no signal came"
