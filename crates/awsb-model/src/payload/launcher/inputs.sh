# shellcheck shell=sh
# Large inputs are an archive of their own: AWSB_INPUTS is its s3:// URL, _ar its region.
# Whoever has unpacked the bundle may have left out the folder of what only the launcher reads.
[ -d "$_ad/.awsb" ] || mkdir "$_ad/.awsb" || _af "cannot make a folder in $_ad"
_aget "$AWSB_INPUTS" "$_ad/.awsb/inputs.tar"
tar -xpf "$_ad/.awsb/inputs.tar" || _af 'cannot unpack the inputs'
unset AWSB_INPUTS
