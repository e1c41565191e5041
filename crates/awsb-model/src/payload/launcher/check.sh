# shellcheck shell=sh
# For a script: whether what its #! line names, $_al, is there, and whether it can be started where it was unpacked.
case $1 in
./*)
  [ -z "$_al" ] || [ -x "$_al" ] || _af "the image has no $_al, which the #! line of ${1#./} names"
  _am="programs cannot be run from $_ab (noexec?); set ${AWSB_LOCAL_HOME:+AWSB_LOCAL_HOME or }TMPDIR to a folder where they can"
  [ -x "$1" ] || _af "$_am"
  # To root, busybox's [ says that it can be started: only exec tells, and then the shell ends.
  trap '[ $? != 126 ] || echo "awsb: $_am" >&2' EXIT
  ;;
esac
