# shellcheck shell=sh
# The second part, when the bundle is too large for the request: AWSB_BUNDLE is its s3:// URL, whose name is
# the SHA-256. The job role's credentials fetch it, with whatever the image has.
_ar=$AWSB_BUNDLE_REGION
_az=.awsb.gz
_ak=${AWSB_BUNDLE#s3://}
_afetch_aws() {
  command -v aws >/dev/null && aws s3 cp --only-show-errors --region "$_ar" "$AWSB_BUNDLE" "$_az"
}
_ajson() {
  _av=${_aj#*\""$1"\"*:*\"}
  _av=${_av%%\"*}
}
_afetch_curl() {
  curl --help all 2>/dev/null | while read -r _al; do case $_al in *--aws-sigv4*) exit 3 ;; esac done
  [ $? = 3 ] || return
  _ai=${AWS_ACCESS_KEY_ID-} _as=${AWS_SECRET_ACCESS_KEY-} _at=${AWS_SESSION_TOKEN-}
  if [ -z "$_ai" ] && [ "${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI-}" ]; then
    _aj=$(curl -fsS --retry 5 "http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || return
    _ajson AccessKeyId && _ai=$_av
    _ajson SecretAccessKey && _as=$_av
    _ajson Token && _at=$_av
  fi
  [ "$_ai" ] || return
  case $_ar in cn-*) _ac=.cn ;; *) _ac= ;; esac
  _au=${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL:-https://s3.$_ar.amazonaws.com$_ac}}
  printf 'user = "%s:%s"\nheader = "x-amz-content-sha256: UNSIGNED-PAYLOAD"\n%s\n' "$_ai" "$_as" \
    "${_at:+header = \"x-amz-security-token: $_at\"}" |
    curl -fsS --retry 5 -K - --aws-sigv4 "aws:amz:$_ar:s3" -o "$_az" "${_au%/}/$_ak"
}
_afetch_python() {
  command -v python3 >/dev/null && python3 -c 'import boto3, sys
u, f, r = sys.argv[1:]
b, k = u[5:].split("/", 1)
boto3.client("s3", region_name=r).download_file(b, k, f)' "$AWSB_BUNDLE" "$_az" "$_ar"
}
_afetch_aws || _afetch_curl || _afetch_python ||
  _af "cannot fetch $AWSB_BUNDLE: that takes an image with aws, curl (7.87 or later) or python3 with boto3, and a job role that may read the object"
_as=$(sha256sum <"$_az" 2>/dev/null || shasum -a 256 <"$_az" 2>/dev/null || openssl dgst -sha256 -r <"$_az" 2>/dev/null) ||
  _af 'the image has none of sha256sum, shasum and openssl, so the bundle cannot be checked'
_ak=${AWSB_BUNDLE##*/}
[ "${_as%% *}" = "${_ak%.tar.gz}" ] || _af "$AWSB_BUNDLE is damaged: its SHA-256 is ${_as%% *}"
gzip -dc <"$_az" | tar -xf - || _af 'cannot unpack the job'
rm -f "$_az"
