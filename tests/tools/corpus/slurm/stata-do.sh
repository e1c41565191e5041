#!/bin/bash
#SBATCH --job-name=panel
#SBATCH --cpus-per-task=2 --mem=6G --time=90
for year in {2019..2021}; do
    cat > "y$year.do" <<DO
use panel_$year, clear
regress wage educ
DO
    stata-mp -b do "y$year.do"
done
wc -l < y2020.do | tr -d ' '
