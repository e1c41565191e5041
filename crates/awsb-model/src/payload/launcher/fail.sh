# shellcheck shell=sh
_af() {
  echo "awsb: $*" >&2
  trap - EXIT
  exit 126
}
