# shellcheck shell=sh
# The first part of a launcher that unpacks a bundle. It is sent without comments and indentation.
if [ -z "${AWSB_UNPACKED-}" ]; then
  for _at in base64 gzip tar; do
    command -v $_at >/dev/null || _af "the image has no $_at, which is needed to unpack the job"
  done
fi
