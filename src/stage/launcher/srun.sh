# shellcheck shell=sh
# shellcheck disable=SC2016,SC2064,SC2086
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
  # The long options without a value, by how they begin: --contiguous, --disable-status, --hold, --no-allocate, --overlap, …
  --cont* | --disable* | --exact | --hold | --lab* | --no-a* | --over* | --pres* | --qui* | --reb* | --spr* | --unb* | \
    --use-* | --verb* | --whole | --mul* | --test*) ;;
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
  --mul*)
    _as '--multi-prog is Slurm only: mpirun and a script that looks at SLURM_PROCID do the same'
    exit 1
    ;;
  --export) [ "$_av" = ALL ] || _aw="$_aw $_ak" ;;
  -l | --lab* | -r | --relative | -w | --nodelist | -x | --exclude | -t | --time | --pty | --test* | \
    --task-prolog | --task-epilog | --prolog | --epilog | --het-group) _aw="$_aw $_ak" ;;
  esac
done
[ $# -gt 0 ] || { _as 'there is no command to run' && exit 1; }
[ -z "$_aw" ] || _as "without Slurm these options have no effect:$_aw"
_an=${_an:-$_at}
case $_an in
'' | 0* | *[!0-9]*) _as "-n: '$_an' is no number from 1 on" && exit 1 ;;
esac
case $_ai in all | none) _ai='' ;; esac
# What is in front of each task when their files differ: it is text, because other nodes have no file of it. _af FILE sets
# _av to what its %j, %t and so on stand for.
_ap='_af() {
  _al=$1 _av=
  while :; do
    case $_al in
    *%*) _av=$_av${_al%%%*} _al=${_al#*%} ;;
    *) break ;;
    esac
    _ac=
    while case $_al in [0-9]*) ;; *) false ;; esac do
      _ac=$_ac${_al%"${_al#?}"} _al=${_al#?}
    done
    case $_al in
    %*) _ak=% ;;
    A*) _ak=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID} ;;
    a*) _ak=${SLURM_ARRAY_TASK_ID:-4294967294} ;;
    J*) _ak=$SLURM_JOB_ID.0 ;;
    j*) _ak=$SLURM_JOB_ID ;;
    N*) _ak=${HOSTNAME:-$SLURMD_NODENAME} && _ak=${_ak%%.*} ;;
    n*) _ak=$SLURM_NODEID ;;
    s*) _ak=0 ;;
    t*) _ak=$SLURM_PROCID ;;
    u*) _ak=$SLURM_JOB_USER ;;
    x*) _ak=$SLURM_JOB_NAME ;;
    *) _ak=%$_ac${_al%"${_al#?}"} _ac= ;;
    esac
    case $_ak in
    *[!0-9]*) ;;
    *) while [ "$_ac" ] && [ ${#_ak} -lt "$_ac" ]; do _ak=0$_ak; done ;;
    esac
    _al=${_al#?} _av=$_av$_ak
  done
  _av=$_av$_al
}
_aredirect() {
  _ai=$1 _ao=$2 _ae=$3
  if [ "$_ai" ]; then
    _af "$_ai" && exec <"$_av" || exit
  fi
  if [ "$_ao" ]; then
    _af "$_ao" && exec >"$_av" || exit
  fi
  if [ "$_ae" ]; then
    _af "$_ae" && exec 2>"$_av" || exit
  elif [ "$_ao" ]; then
    exec 2>&1
  fi
}
'
export SLURM_NTASKS="$_an" SLURM_NPROCS="$_an" SLURM_STEP_NUM_TASKS="$_an"
export SLURM_PROCID=0 SLURM_LOCALID=0
case $_ai$_ao$_ae in
*%*)
  set -- sh -c "$_ap"'_aredirect "$1" "$2" "$3"
shift 3
exec "$@"' srun "$_ai" "$_ao" "$_ae" "$@"
  ;;
*)
  eval "$_ap"
  _aredirect "$_ai" "$_ao" "$_ae"
  ;;
esac
# Tasks that a signal may reach before the time is up are found by the file of their srun, which has to outlive them.
_aw=${AWSB_STEP_SIGNAL-}
if [ "$_aw" ]; then
  _ap=${0%/*}/step.$$
  : >"$_ap"
  trap 'rm -f "$_ap"' EXIT
fi
[ "$_an" -gt 1 ] || [ "$_aw" ] || exec "$@"
if [ "$_an" -gt 1 ] && command -v mpirun >/dev/null; then
  set -- sh -c 'SLURM_PROCID=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-0}}}
SLURM_LOCALID=${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-0}}
SLURM_NODEID=${AWS_BATCH_JOB_NODE_INDEX:-0}
export SLURM_PROCID SLURM_LOCALID SLURM_NODEID
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
  if [ "${AWSB_HOSTFILE-}" ]; then
    set -- mpirun -n "$_an" -N "$(((_an + _am - 1) / _am))" "$@"
  else
    export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
    set -- mpirun -n "$_an" "$@"
  fi
  [ "$_aw" ] || exec "$@"
  _an=1
elif [ "$_an" -gt 1 ] && [ "$_am" -gt 1 ]; then
  _as 'the image has no mpirun, which takes a command to the other nodes'
  exit 127
fi
_ak='' _ac=0 _ai=0 _ah=''
trap '_ah=1; kill -s TERM $_ak 2>/dev/null' HUP INT TERM
if [ "$_aw" ]; then
  trap "kill $_aw \$_ak 2>/dev/null" "${_aw#-}" 2>/dev/null || :
fi
while [ -z "$_ah" ] && [ "$_ai" -lt "$_an" ]; do
  if [ "$_an" = 1 ]; then
    "$@" <&0 &
  else
    SLURM_PROCID=$_ai SLURM_LOCALID=$_ai "$@" &
  fi
  _ak="$_ak $!" _ai=$((_ai + 1))
done
# A signal may have come before the last task's ID was noted.
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
