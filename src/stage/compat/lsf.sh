# shellcheck shell=sh
# Prelude of a script with #BSUB lines: of LSF's variables those that are known only here. There is no LSF_BINDIR: with
# it MPI libraries would look for LSF itself, so one that is handed on goes. $_ac is how many slots a node has, $_as how
# many the job has.
unset LSF_BINDIR
export LSB_JOBID="$_jn" LSB_QUEUE="${AWS_BATCH_JQ_NAME-}"
export LSB_SUBCWD="$PWD" LS_SUBCWD="$PWD" LSB_JOB_CWD="$PWD" LS_JOBPID=$$ LSB_JOBRES_PID=$$ LS_EXEC_T=START
export LSB_EXEC_CLUSTER="${AWS_BATCH_CE_NAME:-awsb}" LSB_TRAPSIGS='trap # 15 10 12 2 1'
export LSB_EXIT_PRE_ABORT=99 LSB_JOBEXIT_STAT=0 LSB_JOBFILENAME="$_ad/.lsbatch" LSB_CHKFILENAME="$_ad/.lsbatch"
export LSFUSER="${USER:-${LOGNAME:-root}}"
export LSB_JOB_EXECUSER="$LSFUSER"
[ "${AWS_BATCH_JOB_ATTEMPT:-1}" -le 1 ] || export LSB_RESTART=Y
_ai='' _at=''
for _aq in $_al; do
  _an=$_ac
  [ "$_an" -le "$_as" ] || _an=$_as
  _as=$((_as - _an)) _at="$_at${_at:+ }$_aq $_an"
  while [ "$_an" -gt 0 ]; do
    _ai=$_ai${_ai:+ }$_aq _an=$((_an - 1))
  done
done
export LSB_MCPU_HOSTS="$_at"
# A longer one LSF leaves out, too.
[ ${#_ai} -gt 4096 ] || export LSB_HOSTS="$_ai"
export LSB_DJOB_HOSTFILE="$_ad/.lsb_hosts"
{ for _aq in $_ai; do echo "$_aq"; done >"$LSB_DJOB_HOSTFILE"; } 2>/dev/null || unset LSB_DJOB_HOSTFILE
export LSB_JOBINDEX=0 LSB_BATCH_JID="$LSB_JOBID"
# only: tasks
_an=${AWSB_TASK_ID:-$AWS_BATCH_JOB_ARRAY_INDEX}
export LSB_JOBINDEX="$_an" LSB_BATCH_JID="${LSB_JOBID}[$_an]" LSB_JOBINDEX_STEP="${AWSB_TASK_STEP:-1}"
export LSB_JOBINDEX_END="${AWSB_TASK_MAX:-$((${AWS_BATCH_JOB_ARRAY_SIZE:-1} - 1))}"
# Of a list, each task has what its own range says.
_ai=${AWSB_TASKS-}
case $_ai in
i:*) _ai='' ;;
*,*) ;;
*) _ai='' ;;
esac
_ai=$_ai,
while [ "$_ai" ] && [ "$_ai" != , ]; do
  _at=${_ai%%,*} _ai=${_ai#*,} _as=1
  case $_at in *:*) _as=${_at#*:} _at=${_at%:*} ;; esac
  if [ "$_an" -ge "${_at%-*}" ] && [ "$_an" -le "${_at#*-}" ]; then
    export LSB_JOBINDEX_STEP="$_as" LSB_JOBINDEX_END="${_at#*-}"
    break
  fi
done
# end
