# shellcheck shell=sh
# Prelude of a script with #SBATCH lines: of Slurm's variables those that are known only here, and srun. No
# SLURM_JOBID, SLURM_STEPID and SLURM_JOB_NODELIST: with them MPI libraries would look for Slurm itself.
export SLURM_JOB_ID="$_tn" SLURM_JOB_PARTITION="${AWS_BATCH_JQ_NAME-}"
export SLURM_NNODES="${AWS_BATCH_JOB_NUM_NODES:-1}" SLURM_NODEID="${AWS_BATCH_JOB_NODE_INDEX:-0}"
export SLURM_JOB_NUM_NODES="$SLURM_NNODES" SLURM_SUBMIT_DIR="$PWD"
[ "${AWS_BATCH_JOB_ATTEMPT:-1}" -le 1 ] || export SLURM_RESTART_COUNT="$((AWS_BATCH_JOB_ATTEMPT - 1))"
_an=${AWSB_TASK_ID:-${AWS_BATCH_JOB_ARRAY_INDEX-}}
if [ "$_an" ]; then
  _ac=${AWSB_TASK_COUNT:-${AWS_BATCH_JOB_ARRAY_SIZE:-1}}
  export SLURM_ARRAY_JOB_ID="$_jn" SLURM_ARRAY_TASK_ID="$_an" SLURM_ARRAY_TASK_COUNT="$_ac"
  export SLURM_ARRAY_TASK_MIN="${AWSB_TASK_MIN:-0}" SLURM_ARRAY_TASK_MAX="${AWSB_TASK_MAX:-$((_ac - 1))}"
  export SLURM_ARRAY_TASK_STEP="${AWSB_TASK_STEP:-1}"
fi
export PATH="$_ad/.awsb-slurm:$PATH"
