# shellcheck shell=sh
# Instead of an exec, for a job whose files come back: the job is a child that is handed the signals on; when it has
# ended, what matches goes to AWSB_OUTPUT_URL, and the launcher ends as the job has. _ar is the region.
_apass() {
  _ag=$1
  [ -z "$_ap" ] || kill -s "$1" "$_ap" 2>/dev/null
}
_arun() {
  _ap='' _ag=''
  # A child in the background has INT and QUIT ignored, and only GNU's env (8.31) takes that back: without it, TERM
  # has to do for them.
  env --default-signal=INT,QUIT true 2>/dev/null && _ae=y || _ae=
  for _al in HUP INT QUIT USR1 USR2 ALRM TERM; do
    # shellcheck disable=SC2064
    case $_ae$_al in
    INT | QUIT) trap '_apass TERM' "$_al" ;;
    *) trap "_apass $_al" "$_al" ;;
    esac
  done
  trap - EXIT
  (
    # A trap of the launcher's is not the subshell's.
    [ -z "${_am-}" ] || trap '[ $? != 126 ] || echo "awsb: $_am" >&2' EXIT
    trap - HUP INT QUIT USR1 USR2 ALRM TERM
    [ -z "$_ae" ] || exec env --default-signal=INT,QUIT /bin/sh -c 'exec "$@"' awsb "$@"
    exec "$@"
  ) <&0 &
  _ap=$!
  [ -z "$_ag" ] || _apass "$_ag"
  # A signal ends `wait` early. Whether it was the child's end that it told of, the child itself has to say.
  while :; do
    _ag=''
    wait "$_ap" 2>/dev/null
    _ax=$?
    [ "$_ag" ] || break
    kill -0 "$_ap" 2>/dev/null && continue
    wait "$_ap" 2>/dev/null
    _al=$?
    [ $_al = 127 ] || _ax=$_al
    break
  done
  # From here on there are 30 seconds at least, and signals must not end an upload.
  trap '' HUP INT QUIT USR1 USR2 ALRM TERM
}
# _aname KEY: as it is in a URL, in _av. Without od, only plain names are.
_aname() {
  _av=$1
  case $1 in
  *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~/-]*) ;;
  *) return 0 ;;
  esac
  _at=$(printf %s "$1" | od -An -v -to1 2>/dev/null) && [ "$_at" ] || return
  set -- ''
  for _al in $_at; do
    case $_al in
    05[567] | 06? | 07[01] | 10[1-7] | 1[12]? | 13[0127] | 14[1-7] | 1[56]? | 17[0126]) _as="\\$_al" ;;
    *)
      _as=%%%02X
      set -- "$@" "0$_al"
      ;;
    esac
    _ac=$1$_as
    shift
    set -- "$_ac" "$@"
  done
  # shellcheck disable=SC2059
  _av=$(printf "$@")
}
# _aput FILE KEY
_aput() {
  { _aname "$2" && _acurl "${AWSB_OUTPUT_URL#s3://}$_av" -T "./$1" -o /dev/null; } ||
    { command -v aws >/dev/null && aws s3 cp --only-show-errors --region "$_ar" "./$1" "$AWSB_OUTPUT_URL$2"; } ||
    { command -v python3 >/dev/null && python3 -c 'import boto3, sys
f, u, r = sys.argv[1:]
b, k = u[5:].split("/", 1)
boto3.client("s3", region_name=r).upload_file(f, b, k)' "$1" "$AWSB_OUTPUT_URL$2" "$_ar"; }
}
# _akeep PATH: uploads a file, or all files below a directory.
_akeep() {
  if [ -d "$1" ]; then
    for _ae in "$1"/* "$1"/.[!.]* "$1"/..?*; do
      if [ -d "$_ae" ] && [ -h "$_ae" ]; then
        echo "awsb: ${_ae#./} is a link to a directory: what is in it is not kept" >&2
      elif [ -e "$_ae" ] || [ -h "$_ae" ]; then
        _akeep "$_ae"
      fi
    done
    return
  fi
  _ak=$1
  while :; do
    case $_ak in
    ./*) _ak=${_ak#./} ;;
    */./*) _ak=${_ak%%/./*}/${_ak#*/./} ;;
    *//*) _ak=${_ak%%//*}/${_ak#*//} ;;
    *) break ;;
    esac
  done
  # No path has two slashes in a row.
  case $_ao in *"//$_ak//"*) return ;; esac
  _ao=$_ao$_ak//
  if ! [ -f "$1" ]; then
    echo "awsb: $_ak is no regular file: it is not kept" >&2
  elif ! { _aput "$_ak" "$_ak" || { sleep 1; _aput "$_ak" "$_ak"; }; }; then
    echo "awsb: cannot upload $_ak to $AWSB_OUTPUT_URL: that takes an image with curl (7.87 or later), aws or python3 with boto3, and a job role with s3:PutObject there" >&2
    [ "$_ax" != 0 ] || _ax=125
  fi
}
_aout() {
  _ao=//
  for _an do
    IFS=
    # shellcheck disable=SC2086
    set -- $_an
    unset IFS
    if [ -e "$1" ] || [ -h "$1" ]; then
      for _ad do _akeep "$_ad"; done
    else
      echo "awsb: nothing matches $_an" >&2
    fi
  done
  exit "$_ax"
}
