# shellcheck shell=sh
# The last part: the rest is in the bundle, where it costs little, or in AWSB_START, where the bundle has been unpacked
# already.
_as=${AWSB_START-}
unset AWSB_BUNDLE AWSB_BUNDLE_REGION AWSB_UNPACKED AWSB_START
[ -z "$_as" ] || eval "$_as"
. ./.awsb/start
