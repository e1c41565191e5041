# shellcheck shell=sh
# Arguments that Batch would change travel quoted, in a variable.
if [ "${AWSB_ARGS+x}" ]; then
  eval "set -- $AWSB_ARGS"
  unset AWSB_ARGS
fi
