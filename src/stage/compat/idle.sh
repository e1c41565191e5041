# shellcheck shell=sh
# Prelude of a script from Slurm or LSF in an MNP job: those run it on the first node alone. The others wait for
# what mpirun sends them, and Batch stops them when the main node has ended.
if [ "${AWS_BATCH_JOB_NODE_INDEX:-0}" != "${AWS_BATCH_JOB_MAIN_NODE_INDEX:-0}" ]; then
  # shellcheck disable=SC2016 # it is for that shell
  set -- /bin/sh -c 'trap '\''kill $!; exit 0'\'' TERM; while :; do sleep 60 & wait; done'
fi
