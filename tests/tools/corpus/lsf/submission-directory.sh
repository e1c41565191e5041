#!/bin/bash
#BSUB -J where
#BSUB -M 100MB -W 5
cd "${LS_SUBCWD:-.}"
mkdir -p results
echo fine > results/state
cat "${LS_SUBCWD:-.}/results/state"
