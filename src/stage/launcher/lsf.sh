# shellcheck shell=sh
# Prelude of a script with #BSUB lines: of LSF's variables those that are known only here. No LSB_HOSTS and
# LSB_MCPU_HOSTS: with them MPI libraries would look for LSF itself.
export LSB_JOBID="$_jn" LSB_QUEUE="${AWS_BATCH_JQ_NAME-}"
export LSB_SUBCWD="$PWD" LS_SUBCWD="$PWD"
_an=${AWSB_TASK_ID:-${AWS_BATCH_JOB_ARRAY_INDEX-}}
export LSB_JOBINDEX="${_an:-0}"
if [ "$_an" ]; then
  export LSB_JOBINDEX_STEP="${AWSB_TASK_STEP:-1}"
  export LSB_JOBINDEX_END="${AWSB_TASK_MAX:-$((${AWS_BATCH_JOB_ARRAY_SIZE:-1} - 1))}"
fi
