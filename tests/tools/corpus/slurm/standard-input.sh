#!/bin/bash
#SBATCH --job-name=stdin
#SBATCH --input=input.dat
#SBATCH --mem=100 --time=5
read -r first && echo "first $first"
sort
