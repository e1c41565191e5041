# shellcheck shell=sh
# The number of the job, _jn, and of the child of an array, _tn (crates/awsb-model/src/number.rs has the same). An ID
# that is not a UUID stays as it is.
_jn=${AWS_BATCH_JOB_ID%%[:#]*}
# only: tasks
_tn=$AWS_BATCH_JOB_ID
# end
case $_jn in
*[!0-9a-f-]* | *-*-*-*-*-*) ;;
????????-????-????-????-????????????)
  _jr=${_jn#*-}
  _jn=$((0x${_jn%%-*}${_jr%"${_jr#??}"} + 1099511627776))
# only: tasks
  case $_tn in
  *:*) _tn=$((_jn + (${_tn#*:} + 1) * 1099511627776)) ;;
  *) _tn=$_jn ;;
  esac
# end
  ;;
esac
# only: one
_tn=$_jn
# end
