# shellcheck shell=sh
# Prelude of --each: the line for every {} in the arguments.
_an=$#
while [ "$_an" -gt 0 ]; do
  _al=$1 _ar=
  shift
  while :; do
    case $_al in
    *'{}'*) _ar=$_ar${_al%%'{}'*}$AWSB_TASK_LINE _al=${_al#*'{}'} ;;
    *) break ;;
    esac
  done
  set -- "$@" "$_ar$_al"
  _an=$((_an - 1))
done
