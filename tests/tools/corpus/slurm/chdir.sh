#!/bin/bash
#SBATCH --chdir=/tmp
#SBATCH --mem=100M
#SBATCH --time=5
#SBATCH -J elsewhere
cd -P . && basename "$PWD"
