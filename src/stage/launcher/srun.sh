# shellcheck shell=sh
# srun for scripts that were written for Slurm: as many copies of a command as the job has tasks, through
# mpirun where there is one, because that is what an MPI program needs. Of srun's options those are honoured
# that say what runs; those that say where, or how tightly, mean nothing here.
_as() {
  echo "srun: $*" >&2
}
_an='' _at=${SLURM_NTASKS:-1} _am=${AWS_BATCH_JOB_NUM_NODES:-1} _ai='' _ao='' _ae='' _aw=''
while [ $# -gt 0 ]; do
  _ak=$1 _av='' _ah=''
  case $1 in
  --) shift && break ;;
  --*=*) _ak=${1%%=*} _av=${1#*=} _ah=1 ;;
  --*) ;;
  -??*) _av=${1#-?} _ah=1 && _ak=${1%"$_av"} ;;
  -?) ;;
  *) break ;;
  esac
  shift
  case $_ak in
  -E | -H | -k | -l | -O | -Q | -s | -u | -v | -X | -Z)
    # Letters may stand together.
    [ -z "$_ah" ] || set -- "-$_av" "$@"
    ;;
  -I | -K) ;;
  --contiguous | --disable-status | --exact | --hold | --label | --no-allocate | --overcommit | --overlap | \
    --oversubscribe | --preserve-env | --quiet | --quit-on-interrupt | --reboot | --spread-job | --unbuffered | \
    --use-min-nodes | --verbose | --whole | --multi-prog | --test-only) ;;
  --exclusive | --immediate | --kill-on-bad-exit | --nice | --no-kill | --propagate | --pty | --resv-ports) ;;
  --help | --usage | --version | -h | -V)
    echo 'srun: awsb runs this job; this srun starts its tasks'
    exit
    ;;
  *)
    if [ -z "$_ah" ]; then
      [ $# -gt 0 ] || { _as "$_ak needs a value" && exit 1; }
      _av=$1
      shift
    fi
    ;;
  esac
  case $_ak in
  -n | --ntasks) _an=$_av ;;
  --ntasks-per-node) _at=$((_av * _am)) ;;
  -c | --cpus-per-task) export SLURM_CPUS_PER_TASK="$_av" ;;
  -D | --chdir) cd -- "$_av" || exit ;;
  -i | --input) _ai=$_av ;;
  -o | --output) _ao=$_av ;;
  -e | --error) _ae=$_av ;;
  -N | --nodes)
    case $_av in
    1 | 1-*) [ "$_am" = 1 ] || { _am=1 _at=1; } ;;
    "$_am" | "$_am"-*) ;;
    *) _aw="$_aw $_ak" ;;
    esac
    ;;
  --multi-prog)
    _as '--multi-prog is Slurm only: mpirun and a script that looks at SLURM_PROCID do the same'
    exit 1
    ;;
  --export) [ "$_av" = ALL ] || _aw="$_aw $_ak" ;;
  -l | --label | -r | --relative | -w | --nodelist | -x | --exclude | -t | --time | --pty | --test-only | \
    --task-prolog | --task-epilog | --prolog | --epilog | --het-group) _aw="$_aw $_ak" ;;
  esac
done
[ $# -gt 0 ] || { _as 'there is no command to run' && exit 1; }
[ -z "$_aw" ] || _as "without Slurm these options have no effect:$_aw"
_an=${_an:-$_at}
case $_an in
'' | 0* | *[!0-9]*) _as "-n: '$_an' is no number from 1 on" && exit 1 ;;
esac
for _av in "$_ai" "$_ao" "$_ae"; do
  case $_av in
  *%*) _as "$_av: a file for each task cannot be had; the command can look at SLURM_PROCID" && exit 1 ;;
  esac
done
[ -z "$_ai" ] || [ "$_ai" = all ] || [ "$_ai" = none ] || exec <"$_ai" || exit
[ -z "$_ao" ] || exec >"$_ao" || exit
if [ "$_ae" ]; then
  exec 2>"$_ae" || exit
elif [ "$_ao" ]; then
  exec 2>&1
fi
export SLURM_NTASKS="$_an" SLURM_NPROCS="$_an" SLURM_STEP_NUM_TASKS="$_an"
export SLURM_PROCID=0 SLURM_LOCALID=0
[ "$_an" -gt 1 ] || exec "$@"
if command -v mpirun >/dev/null; then
  # shellcheck disable=SC2016 # it is for the task's shell
  set -- sh -c 'SLURM_PROCID=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-0}}}
SLURM_LOCALID=${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-0}}
export SLURM_PROCID SLURM_LOCALID
exec "$@"' srun "$@"
  if [ "$_am" -gt 1 ]; then
    # Open MPI takes no variables to other nodes by itself.
    for _ak in $(env | sed -n -e 's/^\(SLURM_[A-Z_]*\)=.*/\1/p' -e 's/^\(OMP_[A-Z_]*\)=.*/\1/p'); do
      eval "set -- \"$_ak=\$$_ak\" \"\$@\""
    done
    set -- env "$@"
  fi
  # Containers run as root. Open MPI 4, and 5.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  # With a list of nodes each has its part of the tasks, as Slurm deals them out. Without one, mpirun counts cores,
  # and on a vCPU there may be half a core only.
  [ -z "${AWSB_HOSTFILE-}" ] || exec mpirun -n "$_an" -N "$(((_an + _am - 1) / _am))" "$@"
  export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  exec mpirun -n "$_an" "$@"
fi
if [ "$_am" -gt 1 ]; then
  _as 'the image has no mpirun, which takes a command to the other nodes'
  exit 127
fi
_ak='' _ac=0 _ai=0 _ah=''
trap '_ah=1; kill -s TERM $_ak 2>/dev/null' HUP INT TERM
while [ -z "$_ah" ] && [ "$_ai" -lt "$_an" ]; do
  SLURM_PROCID=$_ai SLURM_LOCALID=$_ai "$@" &
  _ak="$_ak $!" _ai=$((_ai + 1))
done
# A signal may have come before the last task's ID was noted.
# shellcheck disable=SC2086 # they are words
[ -z "$_ah" ] || kill -s TERM $_ak 2>/dev/null
# The highest exit code is the job step's.
for _av in $_ak; do
  _ae=0
  wait "$_av" || _ae=$?
  # A signal ends the waiting, not the task.
  while [ $_ae -gt 128 ] && kill -0 "$_av" 2>/dev/null; do
    _ae=0
    wait "$_av" || _ae=$?
  done
  [ $_ae -le $_ac ] || _ac=$_ae
done
exit $_ac
