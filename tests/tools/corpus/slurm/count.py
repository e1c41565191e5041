#!/usr/bin/env python3
#SBATCH --job-name=count-words
#SBATCH --cpus-per-task=2
#SBATCH --array=1,3
#SBATCH --mem=1G
#SBATCH --time=00:10:00
"""The script itself is Python."""
import os

words = "to be or not to be".split()
task = int(os.environ["SLURM_ARRAY_TASK_ID"])
print(f"task {task} of {os.environ['SLURM_ARRAY_TASK_COUNT']}: {words[task - 1]}")
print("threads", os.environ["SLURM_CPUS_PER_TASK"])
