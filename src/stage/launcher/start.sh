# shellcheck shell=sh
# The last part: the rest is in the bundle, where it costs little.
unset AWSB_BUNDLE AWSB_BUNDLE_REGION
. ./.awsb/start
