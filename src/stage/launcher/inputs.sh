# shellcheck shell=sh
# Large inputs are an archive of their own: AWSB_INPUTS is its s3:// URL, _ar its region.
_aget "$AWSB_INPUTS" "$_ad/.awsb/inputs.tar"
tar -xpf "$_ad/.awsb/inputs.tar" || _af 'cannot unpack the inputs'
unset AWSB_INPUTS
