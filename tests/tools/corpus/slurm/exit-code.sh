#!/bin/bash
#SBATCH -J verdict
#SBATCH -t 2
#SBATCH --mem=100M
check() { [ "$1" -gt 5 ]; }
if ! check 3; then
    echo "quality control failed" >&2
    exit 42
fi
