# shellcheck shell=sh
# The second part, when the bundle travels inside the request.
[ "${AWSB_UNPACKED-}" ] || printf %s "$AWSB_BUNDLE" | base64 -d | gzip -dc | tar -xpf - || _af 'cannot unpack the job'
