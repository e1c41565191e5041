# shellcheck shell=sh
# The last part: the rest is in the bundle, where it costs little, or in AWSB_START, where the bundle has been unpacked
# already.
eval "${AWSB_START:-. ./.awsb/start}"
