# shellcheck shell=sh
# Large inputs are an archive of their own: _ai is its s3:// URL, _ar its region.
_aget "$_ai" "$_ad/.awsb/inputs.tar"
tar -xpf "$_ad/.awsb/inputs.tar" || _af "cannot unpack the inputs"
