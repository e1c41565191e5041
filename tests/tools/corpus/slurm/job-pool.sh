#!/bin/bash
#SBATCH --job-name=pool
#SBATCH --cpus-per-task=3
#SBATCH --mem=500M
#SBATCH --time=00:02:00
# At most as many at a time as there are CPUs; the first failure counts.
fail=0
for n in 1 2 3 4 5 6; do
    while [ "$(jobs -rp | wc -l)" -ge "$SLURM_CPUS_PER_TASK" ]; do wait -n || fail=1; done
    ( [ "$n" -ne 4 ] && echo "part $n" > "part.$n" ) &
done
for pid in $(jobs -p); do wait "$pid" || fail=1; done
cat part.*
echo "failures: $fail"
exit "$fail"
