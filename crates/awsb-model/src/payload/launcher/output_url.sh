# shellcheck shell=sh
# Prelude: where the job's results belong, $_au/ID/, an array's children and an MNP job's nodes below it.
_an=${AWS_BATCH_JOB_ID-}
case $_an in
*:*) _an=${_an%%:*}/${_an#*:} ;;
*'#'*) _an=${_an%%'#'*}/node-${_an#*'#'} ;;
esac
AWSB_OUTPUT_URL=$_au/$_an/
export AWSB_OUTPUT_URL
