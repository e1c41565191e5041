# shellcheck shell=sh
# S3, with the job role's credentials and whatever the image has: a curl that can sign starts a hundred times
# faster than aws does. _ar is the region.
_ajson() {
  _av=${_aj#*\""$1"\"*:*\"}
  _av=${_av%%\"*}
}
# _asaid ANSWER: what S3 says in an answer that is an error, in _ay.
_asaid() {
  case $1 in
  *'<Message>'*) _ay=${1##*'<Message>'} _ay=${_ay%%'</Message>'*} ;;
  *) return 1 ;;
  esac
}
# _acurl BUCKET/KEY OPTION…: the key as it is in a URL. That there is no curl that can sign is no error: there are
# other ways. To ask it first would take as long as what it is for. _ay is S3's reason.
_acurl() {
  _ay=
  [ -z "${_aq-}" ] || return
  _ai=${AWS_ACCESS_KEY_ID-} _as=${AWS_SECRET_ACCESS_KEY-} _at=${AWS_SESSION_TOKEN-}
  if [ -z "$_ai" ] && [ "${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI-}" ]; then
    # No proxy reaches it: the address is this container's own.
    _aj=$(curl -fsS --retry 5 --noproxy '*' "http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || return
    _ajson AccessKeyId && _ai=$_av
    _ajson SecretAccessKey && _as=$_av
    _ajson Token && _at=$_av
  fi
  [ "$_ai" ] || return
  case $_ar in cn-*) _ac=.cn ;; *) _ac= ;; esac
  _aj=${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL:-https://s3.$_ar.amazonaws.com$_ac}}
  _aj=${_aj%/}/$1
  shift
  _ac=$(printf 'user = "%s:%s"\nheader = "x-amz-content-sha256: UNSIGNED-PAYLOAD"\n%s\n' "$_ai" "$_as" \
    "${_at:+header = \"x-amz-security-token: $_at\"}" |
    { curl -gsS --retry 5 -K - --aws-sigv4 "aws:amz:$_ar:s3" --fail-with-body "$@" "$_aj"; } 2>&1) && return
  case $?$_ac in
  127* | 2curl:*--aws-sigv4* | 2curl:*--fail-with-body*) _aq=n ;;
  *) _asaid "$_ac" || printf '%s\n' "$_ac" >&2 ;;
  esac
  return 1
}
