# shellcheck shell=sh
# scontrol for scripts that were written for Slurm: the names of the nodes are all that there is to show.
# _aone NAME: a name, or several with [1-3,07] in it, a line each.
_aone() {
  case $1 in
  *'['*']'*) ;;
  *)
    printf '%s\n' "$1"
    return
    ;;
  esac
  set -- "${1%%'['*}" "${1#*'['}"
  set -- "$1" "${2%%']'*}," "${2#*']'}"
  _al=$2
  while [ "$_al" ]; do
    _at=${_al%%,*} _al=${_al#*,}
    _an=${_at%-*} _ae=${_at#*-} _aw=${#_an}
    while case $_an in 0?*) ;; *) false ;; esac do _an=${_an#0}; done
    while case $_ae in 0?*) ;; *) false ;; esac do _ae=${_ae#0}; done
    while [ "$_an" -le "$_ae" ]; do
      _ac=$_an
      while [ ${#_ac} -lt "$_aw" ]; do _ac=0$_ac; done
      (_aone "$1$_ac$3")
      _an=$((_an + 1))
    done
  done
}
# _aeach LIST: what is between the commas that stand in no brackets.
_aeach() {
  set -- "$1," ''
  while [ "$1" ]; do
    set -- "${1#*,}" "$2${1%%,*}"
    case $2 in
    *'['*']'*) ;;
    *'['*)
      set -- "$1" "$2,"
      continue
      ;;
    esac
    [ -z "$2" ] || _aone "$2"
    set -- "$1" ''
  done
}
case "${1-} ${2-}" in
'show hostname' | 'show hostnames') _aeach "${3-${SLURM_JOB_NODELIST-}}" ;;
'show hostlist' | 'show hostlistsorted')
  _an=
  _at=$(_aeach "${3-}")
  for _ac in $_at; do _an=$_an${_an:+,}$_ac; done
  printf '%s\n' "$_an"
  ;;
*)
  echo "scontrol: awsb runs this job, and there is no Slurm: here it only knows \`scontrol show hostnames\`" >&2
  exit 1
  ;;
esac
