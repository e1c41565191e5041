# shellcheck shell=sh
# The number of the job, _jn, and of the child of an array, _tn (crates/awsb-model/src/number.rs has the same). An ID
# that is not a UUID stays as it is.
_jn=${AWS_BATCH_JOB_ID%%[:#]*}
# only: tasks
_tn=$AWS_BATCH_JOB_ID
# end
case $((1<<40))$_jn in
*[!0-9a-f-]*|*-*-*-*-*-*) ;;
10*????????-????-????-????-????????????)
  _jr=${_jn#*-}
  _jn=$((0x${_jn%%-*}${_jr%"${_jr#??}"}+(1<<40)))
# only: tasks
  case $_tn in
  *:*) _tn=$((_jn+(${_tn#*:}+1)*(1<<40))) ;;
  *) _tn=$_jn ;;
  esac
# end
  ;;
esac
# only: one
_tn=$_jn
# end
