# shellcheck shell=sh
# The third part, for a script: what it is started with, whether its interpreter is there, and off it goes.
unset AWSB_BUNDLE AWSB_BUNDLE_REGION
if [ -f .awsb/job ]; then
  . ./.awsb/job
  rm -rf .awsb 2>/dev/null
fi
[ -z "${AWSB_ARGS-}" ] || eval "set -- $AWSB_ARGS"
unset AWSB_ARGS
case $1 in
./*)
  IFS= read -r _al <"$1" || :
  case $_al in
  '#!'*)
    _al=${_al#??}
    _al=${_al#"${_al%%[! 	]*}"}
    _al=${_al%%[ 	]*}
    [ -x "$_al" ] || _af "the image has no $_al, which the #! line of ${1#./} names"
    ;;
  esac
  [ -x "$1" ] || _af "programs cannot be run from $_ab (is it mounted noexec?); set TMPDIR to a folder where they can"
  ;;
esac
exec "$@"
