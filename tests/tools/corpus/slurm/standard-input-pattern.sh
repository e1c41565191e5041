#!/bin/bash
#SBATCH --array=1-2 --input=part-%a.dat
#SBATCH --mem=100 --time=5
sort
