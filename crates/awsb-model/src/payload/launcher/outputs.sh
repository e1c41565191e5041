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
  # To some shells, the standard input of what is in the background is /dev/null before `<&0` is looked at.
  { (
    # A trap of the launcher's is not the subshell's.
    [ -z "${_am-}" ] || trap '[ $? != 126 ] || echo "awsb: $_am" >&2' EXIT
    trap - HUP INT QUIT USR1 USR2 ALRM TERM
    [ -z "$_ae" ] || exec env --default-signal=INT,QUIT /bin/sh -c 'exec "$@"' awsb "$@"
    exec "$@"
  ) <&3 3<&- & } 3<&0
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
# _aname PATH: the file's key in _ak, and as it is in a URL in _av. A key is UTF-8: each byte of a name that is none
# becomes %XX in it. Without od, only plain names can be written in a URL.
_aname() {
  _ak=$1 _av=$1
  case $1 in
  *[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~/-]*) ;;
  *) return 0 ;;
  esac
  _at=$(printf %s "$1" | od -An -v -to1 2>/dev/null) && [ "$_at" ] || return
  # shellcheck disable=SC2086
  set -- $_at
  # Formats and arguments of printf: of the URL, and of the key.
  _av='' _at='' _al='' _as=''
  while [ $# -gt 0 ]; do
    # How many bytes a character has (RFC 3629, 4).
    case $1${2-}${3-}${4-} in
    [01]??*) _ac=1 ;;
    30[2-7]2??* | 3[123]?2??*) _ac=2 ;;
    3402[4-7]?2??* | 34[1-7]2??2??* | 35[0-4]2??2??* | 3552[0-3]?2??* | 35[67]2??2??*) _ac=3 ;;
    3602[2-7]?2??2??* | 36[1-3]2??2??2??* | 3642[01]?2??2??*) _ac=4 ;;
    *)
      _ac=0 _av=$_av%%25%02X _at="$_at 0$1" _al=$_al%%%02X _as="$_as 0$1"
      shift
      ;;
    esac
    while [ $_ac -gt 0 ]; do
      case $1 in
      05[567] | 06? | 07[01] | 10[1-7] | 1[12]? | 13[0127] | 14[1-7] | 1[56]? | 17[0126]) _av="$_av\\$1" ;;
      *) _av=$_av%%%02X _at="$_at 0$1" ;;
      esac
      _al="$_al\\$1" _ac=$((_ac - 1))
      shift
    done
  done
  # shellcheck disable=SC2059,SC2086
  _av=$(printf "$_av" $_at)
  if [ "$_as" ]; then
    # shellcheck disable=SC2059,SC2086
    _ak=$(printf "$_al." $_as) && _ak=${_ak%.}
  fi
}
# _aput FILE KEY: as _aname has found it. _az is why not.
_aput() {
  _ay='' _az='that takes an image with curl (7.87 or later), aws or python3 with boto3, and a job role with s3:PutObject there'
  { [ -z "$_av" ] || ! _acurl "${AWSB_OUTPUT_URL#s3://}$_av" -T "./$1"; } || return 0
  # Whatever asks it gets the same answer.
  [ -z "$_ay" ] || { _az=$_ay && return 1; }
  if command -v aws >/dev/null; then
    _az='aws says why above'
    aws s3 cp --only-show-errors --region "$_ar" "./$1" "$AWSB_OUTPUT_URL$2" && return
  fi
  command -v python3 >/dev/null && python3 -c 'import boto3, sys
f, u, r = sys.argv[1:]
b, k = u[5:].split("/", 1)
boto3.client("s3", region_name=r).upload_file(f, b, k)' "$1" "$AWSB_OUTPUT_URL$2" "$_ar"
}
# _ain PATH: whether no link in it leads out of the working directory; _ai is the one that does.
_ain() {
  _aj=$1/ _ai=
  while [ "$_aj" ]; do
    _ai=${_ai:+$_ai/}${_aj%%/*} _aj=${_aj#*/}
    ! [ -h "$_ai" ] || _alink || return
  done
}
# _alink: whether the link _ai leads to a place below the working directory.
_alink() {
  # `cd` follows links to a directory; one to a file is read here.
  _at=./$_ai _ac=0
  while ! [ -d "$_at" ]; do
    _ac=$((_ac + 1))
    [ $_ac -le 40 ] || return
    if [ -h "$_at" ]; then
      _al=$(readlink "$_at" && echo .) || return
      case $_al in
      /*) _at=${_al%??} ;;
      *) _at=${_at%/*}/${_al%??} ;;
      esac
    else
      _at=${_at%/*}/
    fi
  done
  _at=$(CDPATH='' cd -P "$_at" && pwd -P && echo .) && _al=$(pwd -P && echo .) || return
  _al=${_al%??}
  case ${_at%??}/ in
  "${_al%/}"/*) ;;
  *) return 1 ;;
  esac
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
  _ap=$1
  while :; do
    case $_ap in
    ./*) _ap=${_ap#./} ;;
    */./*) _ap=${_ap%%/./*}/${_ap#*/./} ;;
    *//*) _ap=${_ap%%//*}/${_ap#*//} ;;
    *) break ;;
    esac
  done
  # No path has two slashes in a row.
  case $_ao in *"//$_ap//"*) return ;; esac
  _ao=$_ao$_ap//
  if ! [ -f "$_ap" ]; then
    echo "awsb: $_ap is no regular file: it is not kept" >&2
    return
  elif [ -h "$_ap" ] && ! _ain "$_ap"; then
    echo "awsb: $_ap is a link out of the working directory: it is not kept" >&2
    return
  fi
  _aname "$_ap" || _av=
  if [ "$_ak" != "$_ap" ]; then
    if [ -e "$_ak" ]; then
      echo "awsb: the name of $_ap is not UTF-8, and $_ak is another file: it is not kept" >&2
      return
    fi
    echo "awsb: the name of $_ap is not UTF-8: it is kept as $_ak" >&2
  fi
  if ! { _aput "$_ap" "$_ak" || { sleep 1; _aput "$_ap" "$_ak"; }; }; then
    echo "awsb: cannot upload $_ap to $AWSB_OUTPUT_URL: $_az" >&2
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
      for _ad do
        case $_an:/$_ad/ in
        # `.*` also matches these two.
        .:* | */.:* | ./:* | */./:*) ;;
        *:*/./ | *:*/../*) continue ;;
        esac
        if [ -e "$_ad" ] && ! _ain "$_ad"; then
          case $_ao in
          *"//$_ai///"*) ;;
          *) echo "awsb: $_ai is a link out of the working directory: it is not kept" >&2 ;;
          esac
          _ao=$_ao/$_ai///
        else
          _akeep "$_ad"
        fi
      done
    else
      echo "awsb: nothing matches $_an" >&2
    fi
  done
  exit "$_ax"
}
