# shellcheck shell=sh
# The script stays where it was unpacked, because several jobs may share a working directory.
case $1 in
./*)
  _al=$_ad/${1#./}
  shift
  ;;
*)
  _al=$_ad/${2#./} _as=$1
  shift 2
  set -- "$_al" "$@"
  _al=$_as
  ;;
esac
set -- "$_al" "$@"
