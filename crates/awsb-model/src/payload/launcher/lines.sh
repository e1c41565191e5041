# shellcheck shell=sh
# Prelude of --each and --commands: the line of this task, when the lines are in AWSB_LINES, each with $_as behind it,
# a character that is in none of them. A function, because its arguments are its own.
_apick() {
  set -f
  IFS=$_as
  # shellcheck disable=SC2086
  set -- $AWSB_LINES
  unset IFS
  set +f
  [ "$_an" -le $# ] || _af "cannot read the line of task $AWSB_TASK_ID"
  shift $((_an - 1))
  AWSB_TASK_LINE=$1
}
_an=$((AWSB_TASK_ID - ${AWSB_FIRST_LINE:-1} + 1))
_apick
export AWSB_TASK_LINE
unset AWSB_LINES AWSB_FIRST_LINE
