# shellcheck shell=sh
# The last part, for a command whose arguments or variables Batch could not take as they are. It runs where
# the image would have run it.
unset AWSB_BUNDLE AWSB_BUNDLE_REGION
[ ! -f .awsb/job ] || . ./.awsb/job
cd "$_ao" && rm -rf "$_ad/.awsb" && rmdir "$_ad" 2>/dev/null
exec "$@"
