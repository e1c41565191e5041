# shellcheck shell=sh
# Prelude of a script with #SBATCH lines: of Slurm's variables those that are known only here, srun and scontrol. There is
# no SLURM_STEPID: with it MPI libraries would take srun for Slurm's. $_ac is how many vCPUs a node has, where that was said.
export SLURM_JOB_ID="$_tn" SLURM_JOBID="$_tn" SLURM_JOB_PARTITION="${AWS_BATCH_JQ_NAME-}"
export SLURM_NNODES="${AWS_BATCH_JOB_NUM_NODES:-1}" SLURM_NODEID="${AWS_BATCH_JOB_NODE_INDEX:-0}"
export SLURM_JOB_NUM_NODES="$SLURM_NNODES" SLURM_SUBMIT_DIR="$PWD"
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_GTIDS=0 SLURM_PRIO_PROCESS=0 SLURM_TASK_PID=$$
export SLURM_CLUSTER_NAME="${AWS_BATCH_CE_NAME:-awsb}" SLURMD_NODENAME="$_ah" SLURM_NODE_ALIASES='(null)'
export SLURM_TOPOLOGY_ADDR="$_ah" SLURM_TOPOLOGY_ADDR_PATTERN=node
export SLURM_JOB_NODELIST="$_al" SLURM_NODELIST="$_al"
export SLURM_CPUS_ON_NODE="${_ac:-${AWSB_VCPUS:-1}}"
export SLURM_JOB_CPUS_PER_NODE="$SLURM_CPUS_ON_NODE"
# only: nodes
_an=''
for _at in $_al; do _an=$_an${_an:+,}$_at; done
export SLURM_JOB_NODELIST="$_an" SLURM_NODELIST="$_an"
[ "$SLURM_NNODES" = 1 ] || export SLURM_JOB_CPUS_PER_NODE="$SLURM_CPUS_ON_NODE(x$SLURM_NNODES)"
# end
_ai='' _an=''
if [ -r /proc/self/status ]; then
  while read -r _at _as _ac; do
    case $_at in
    Uid:) _ai=$_as ;;
    Gid:) _an=$_as && break ;;
    esac
  done </proc/self/status
fi
export SLURM_JOB_UID="${_ai:-$(id -u)}" SLURM_JOB_GID="${_an:-$(id -g)}"
[ "$SLURM_JOB_UID" != 0 ] || _an=root
export SLURM_JOB_USER="${USER:-${LOGNAME:-${_an:-$SLURM_JOB_UID}}}"
[ "${AWS_BATCH_JOB_ATTEMPT:-1}" -le 1 ] || export SLURM_RESTART_COUNT="$((AWS_BATCH_JOB_ATTEMPT - 1))"
# only: tasks
_an=${AWSB_TASK_ID:-$AWS_BATCH_JOB_ARRAY_INDEX}
_ac=${AWSB_TASK_COUNT:-${AWS_BATCH_JOB_ARRAY_SIZE:-1}}
export SLURM_ARRAY_JOB_ID="$_jn" SLURM_ARRAY_TASK_ID="$_an" SLURM_ARRAY_TASK_COUNT="$_ac"
export SLURM_ARRAY_TASK_MIN="${AWSB_TASK_MIN:-0}" SLURM_ARRAY_TASK_MAX="${AWSB_TASK_MAX:-$((_ac - 1))}"
export SLURM_ARRAY_TASK_STEP="${AWSB_TASK_STEP:-1}"
# end
export PATH="$_ad/.awsb-slurm:$PATH" SLURM_TMPDIR="$_ad/.awsb-slurm/tmp" TMPDIR="${TMPDIR:-/tmp}"
