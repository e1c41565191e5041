# shellcheck shell=sh
# The second part, when the bundle is too large for the request: AWSB_BUNDLE is its s3:// URL.
if [ -z "${AWSB_UNPACKED-}" ]; then
  _ar=$AWSB_BUNDLE_REGION
  _aget "$AWSB_BUNDLE" .awsb.gz
  gzip -dc <.awsb.gz | tar -xpf - || _af 'cannot unpack the job'
fi
