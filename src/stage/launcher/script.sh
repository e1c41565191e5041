# shellcheck shell=sh
# A small script is text in AWSB_SCRIPT. An image without chmod can run what needs no x bit.
if [ -z "${AWSB_UNPACKED-}" ]; then
  printf %s "$AWSB_SCRIPT" >"$AWSB_SCRIPT_NAME" || _af "cannot write the script to $_ad"
  ! command -v chmod >/dev/null || chmod 755 "$AWSB_SCRIPT_NAME" || _af "cannot make the script executable in $_ad"
fi
unset AWSB_SCRIPT AWSB_SCRIPT_NAME AWSB_UNPACKED
