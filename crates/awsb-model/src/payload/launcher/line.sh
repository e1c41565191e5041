# shellcheck shell=sh
# Prelude of --each and --commands: the line of this task, when the lines are a file of the bundle. AWSB_FIRST_LINE is
# the task of the first one. Whoever has unpacked the bundle has set the line, too.
_an=$((AWSB_TASK_ID - ${AWSB_FIRST_LINE:-1} + 1))
if [ "${AWSB_TASK_LINE+x}" ]; then
  :
elif command -v sed >/dev/null; then
  AWSB_TASK_LINE=$(sed -n "${_an}{p;q;}" "$_ad/.awsb/lines") || _af "cannot read the line of task $AWSB_TASK_ID"
else
  while [ "$_an" -gt 0 ] && IFS= read -r AWSB_TASK_LINE; do _an=$((_an - 1)); done <"$_ad/.awsb/lines" ||
    _af "cannot read the line of task $AWSB_TASK_ID"
fi
export AWSB_TASK_LINE
unset AWSB_FIRST_LINE
