# shellcheck shell=sh
# shellcheck disable=SC2016,SC2064,SC2086
# srun for scripts that were written for Slurm: as many copies of a command as the job has tasks, through
# mpirun where there is one, because that is what an MPI program needs. Of srun's options those are honoured
# that say what runs; those that say where, or how tightly, mean nothing here.
_as() {
  echo "srun: $*" >&2
}
_afail() {
  _as "$@"
  exit 1
}
_an='' _at=${SLURM_NTASKS:-1} _am=1 _ai='' _ao='' _ae='' _aw=''
# only: nodes
_am=${AWS_BATCH_JOB_NUM_NODES:-1}
# end
while [ $# -gt 0 ]; do
  _ak=$1 _av='' _ah=''
  case $1 in
  --)
    shift
    break
    ;;
  --*=*) _ak=${1%%=*} _av=${1#*=} _ah=1 ;;
  --*) ;;
  -?*) _av=${1#-?} && _ak=${1%"$_av"} _ah=$_av ;;
  *) break ;;
  esac
  shift
  case $_ak in
  # Letters may stand together.
  -[EHklOQsuvXZ]) [ -z "$_ah" ] || set -- "-$_av" "$@" ;;
  # The long options without a value, by how they begin: --contiguous, --disable-status, --hold, --no-allocate, --overlap, …
  -[IK] | --cont* | --disa* | --exact | --exclus* | --ho* | --im* | --kill* | --lab* | --mul* | --nic* | --no-[ak]* | \
    --ov* | --pres* | --propa* | --pt* | --qui* | --reb* | --resv* | --spr* | --te* | --unb* | --use-* | --verb* | --wh*) ;;
  -[hV] | --help | --usage | --version)
    echo 'srun: awsb runs this job'
    exit
    ;;
  *)
    if [ -z "$_ah" ]; then
      [ $# -gt 0 ] || _afail "$_ak needs a value"
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
    case ${_av%%-*} in
    "$_am") ;;
    1) _am=1 _at=1 ;;
    *) _aw="$_aw $_ak" ;;
    esac
    ;;
  --mul*) _afail '--multi-prog is Slurm only: a script can look at SLURM_PROCID' ;;
  --export) [ "$_av" = ALL ] || _aw="$_aw $_ak" ;;
  -[lrtwx] | --lab* | --relative | --nodelist | --exclude | --time | --pty | --test* | --*prolog | --*epilog | --het-group) _aw="$_aw $_ak" ;;
  esac
done
[ $# -gt 0 ] || _afail 'no command to run'
[ -z "$_aw" ] || _as "options without effect here:$_aw"
_an=${_an:-$_at}
case $_an in
'' | 0* | *[!0-9]*) _afail "-n: $_an is not positive" ;;
esac
case $_ai in all | none) _ai='' ;; esac
export SLURM_NTASKS="$_an" SLURM_NPROCS="$_an" SLURM_STEP_NUM_TASKS="$_an" SLURM_PROCID=0 SLURM_LOCALID=0
# only: patterns
# What is in front of each task when their files differ: it is text, because other nodes have no file of it. _af FILE sets
# _av to what its %j, %t and so on stand for.
_ap='_af() {
  _al=$1 _av=
  while case $_al in *%*) ;; *) false ;; esac do
    _av=$_av${_al%%%*} _al=${_al#*%}
    _ac=${_al%%[!0-9]*}
    _al=${_al#"$_ac"}
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
    *) while [ ${#_ak} -lt "${_ac:-0}" ]; do _ak=0$_ak; done ;;
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
# end
# only: plain names
# No script that bsub has seen has such a name: this one is of a script in the image, or on a file system.
case $_ai$_ao$_ae in
*%?*) _afail "$_ai$_ao$_ae: a script needs # %t" ;;
esac
[ -z "$_ai" ] || exec <"$_ai" || exit
if [ "$_ao" ]; then
  exec >"$_ao" || exit
  [ "$_ae" ] || exec 2>&1
fi
[ -z "$_ae" ] || exec 2>"$_ae" || exit
# end
if [ "$_an" -gt 1 ] && command -v mpirun >/dev/null; then
  set -- sh -c 'export SLURM_PROCID="${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-0}}}"
export SLURM_LOCALID="${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-0}}"
# only: nodes
export SLURM_NODEID="${AWS_BATCH_JOB_NODE_INDEX:-0}"
# end
exec "$@"' srun "$@"
# only: nodes
  if [ "$_am" -gt 1 ]; then
    # Open MPI takes no variables to other nodes by itself.
    for _ak in $(env | sed -n -e 's/^\(SLURM_[A-Z_]*\)=.*/\1/p' -e 's/^\(OMP_[A-Z_]*\)=.*/\1/p'); do
      eval "set -- \"$_ak=\$$_ak\" \"\$@\""
    done
    set -- env "$@"
  fi
  # With a list of nodes each has its part of the tasks, as Slurm deals them out.
  if [ "${AWSB_HOSTFILE-}" ]; then
    set -- -N "$(((_an + _am - 1) / _am))" "$@"
  else
# end
    # Without one, mpirun counts cores, and on a vCPU there may be half a core only.
    export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
# only: nodes
  fi
# end
  # Containers run as root. Open MPI 4, and 5.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  set -- mpirun -n "$_an" "$@"
  _an=1
# only: nodes
elif [ "$_an" -gt 1 ] && [ "$_am" -gt 1 ]; then
  _as 'the image has no mpirun, which takes a command to the other nodes'
  exit 127
# end
fi
_ak='' _ac=0 _ai=0 _ah=''
# only: signal
# A signal that comes before a task's ID is noted is for that task, too: $_ax are those that have had it, behind a +.
_ax=''
_ay() {
  case "$_ax " in '+'*" $1 "* | ' ') ;; *) kill "$_aw" "$1" 2>/dev/null ;; esac
}
# Tasks that a signal may reach before the time is up are found by the file of their srun, which has to outlive them.
_aw=${AWSB_STEP_SIGNAL-}
if [ "$_aw" ]; then
  trap "_ax=\"+ \$_ak\"; kill $_aw \$_ak 2>/dev/null" "${_aw#-}" 2>/dev/null || :
  trap '_ah=1; kill -s TERM $_ak 2>/dev/null' HUP INT TERM
  _ap=${0%/*}/step.$$
  trap 'rm -f "$_ap"' EXIT
  : >"$_ap"
  if [ "$_an" = 1 ]; then
    "$@" <&0 &
    _ak=$! _ai=1
    _ay "$_ak"
  fi
fi
# end
[ "$_an" -gt 1 ] || [ "$_ak" ] || exec "$@"
trap '_ah=1; kill -s TERM $_ak 2>/dev/null' HUP INT TERM
while [ -z "$_ah" ] && [ "$_ai" -lt "$_an" ]; do
  SLURM_PROCID=$_ai SLURM_LOCALID=$_ai "$@" &
  _ak="$_ak $!" _ai=$((_ai + 1))
  # only: signal
  _ay "$!"
  # end
done
# A signal may have come before the last task's ID was noted.
[ -z "$_ah" ] || kill -s TERM $_ak 2>/dev/null
# The highest exit code is the job step's.
for _av in $_ak; do
  # A signal ends the waiting, not the task.
  while
    _ae=0
    wait "$_av" || _ae=$?
    [ $_ae -gt 128 ] && kill -0 "$_av" 2>/dev/null
  do :; done
  [ $_ae -le $_ac ] || _ac=$_ae
done
exit $_ac
