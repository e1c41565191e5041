# shellcheck shell=sh
# Prelude: the ID of this task. AWSB_TASKS has the IDs of this array's children, `1-9:2,40`; a single job has
# one. With `i:` in front the IDs are the indices of the array that the user asked for.
_an=${AWS_BATCH_JOB_ARRAY_INDEX:-0}
_ar=${AWSB_TASKS#i:},
while [ "$_ar" ]; do
  _at=${_ar%%,*} _ar=${_ar#*,} _as=1
  case $_at in *:*) _as=${_at#*:} _at=${_at%:*} ;; esac
  _ac=$(((${_at#*-} - ${_at%-*}) / _as + 1))
  [ "$_an" -ge "$_ac" ] || break
  _an=$((_an - _ac))
done
AWSB_TASK_ID=$((${_at%-*} + _an * _as))
export AWSB_TASK_ID
case $AWSB_TASKS in
i:*)
  export AWS_BATCH_JOB_ARRAY_INDEX="$AWSB_TASK_ID" AWS_BATCH_JOB_ARRAY_SIZE="$AWSB_TASK_COUNT"
  ;;
esac
