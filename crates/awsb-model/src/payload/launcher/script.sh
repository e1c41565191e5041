# shellcheck shell=sh
# A small script is text in AWSB_SCRIPT. Without a #! line it is for /bin/sh, and needs no x bit.
if [ -z "${AWSB_UNPACKED-}" ]; then
  printf %s "$AWSB_SCRIPT" >"$AWSB_SCRIPT_NAME" || _af "cannot write the script to $_ad"
  if command -v chmod >/dev/null; then
    chmod 755 "$AWSB_SCRIPT_NAME" || _af "cannot make the script executable in $_ad"
  else
    case $1 in ./*) _af 'the image has no chmod, which is needed to make the script executable' ;; esac
  fi
fi
unset AWSB_SCRIPT AWSB_SCRIPT_NAME AWSB_UNPACKED
