# shellcheck shell=sh
# The whole launcher of a command whose arguments fit into the request, but only quoted.
eval "set -- $AWSB_ARGS"
unset AWSB_ARGS
exec "$@"
