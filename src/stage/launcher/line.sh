# shellcheck shell=sh
# Prelude of --each and --commands: the line of this task.
if command -v sed >/dev/null; then
  AWSB_TASK_LINE=$(sed -n "${AWSB_TASK_ID}{p;q;}" "$_ad/.awsb/lines") || _af "cannot read the line of task $AWSB_TASK_ID"
else
  _an=0
  while [ $_an -lt "$AWSB_TASK_ID" ] && IFS= read -r AWSB_TASK_LINE; do _an=$((_an + 1)); done <"$_ad/.awsb/lines" ||
    _af "cannot read the line of task $AWSB_TASK_ID"
fi
export AWSB_TASK_LINE
