# shellcheck shell=sh
# _aget URL FILE: fetches an object whose name is its SHA-256.
_aget() {
  _acurl "${1#s3://}" -o "$2" ||
    { command -v aws >/dev/null && aws s3 cp --only-show-errors --region "$_ar" "$1" "$2"; } ||
    { command -v python3 >/dev/null && python3 -c 'import boto3, sys
u, f, r = sys.argv[1:]
b, k = u[5:].split("/", 1)
boto3.client("s3", region_name=r).download_file(b, k, f)' "$1" "$2" "$_ar"; } ||
    { _asaid "$(head -c 9999 "$2" 2>/dev/null)" && false; } ||
    _af "cannot fetch $1: ${_ay:-that takes an image with curl (7.87 or later), aws or python3 with boto3, and a job role that may read the object}"
  _as=$(sha256sum <"$2" 2>/dev/null || shasum -a 256 <"$2" 2>/dev/null || openssl dgst -sha256 -r <"$2" 2>/dev/null) ||
    _af "the image has none of sha256sum, shasum and openssl, so what was fetched cannot be checked"
  case $1 in
  *"/${_as%% *}".tar*) ;;
  *) _af "$1 is damaged: its SHA-256 is ${_as%% *}" ;;
  esac
}
