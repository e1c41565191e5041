#!/bin/bash
#SBATCH -J pack
#SBATCH --time=15
#SBATCH --array=1-2
#SBATCH --mem=500M
set -e

out=results_$SLURM_JOB_ID
mkdir "$out"
echo 42 > "$out/answer"
# tar takes a name with a colon for a file on another host.
tar czf "out_$SLURM_JOB_ID.tgz" "$out"
tar tzf "out_$SLURM_JOB_ID.tgz" | sed "s/$SLURM_JOB_ID/ID/"
export PYTHONPATH=$PWD/lib_$SLURM_JOB_ID
mkdir "$PYTHONPATH" && echo 'value = 17' > "$PYTHONPATH/settings_of_run.py"
python3 -c 'import settings_of_run as s; print("imported", s.value)'
