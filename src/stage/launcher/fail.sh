# shellcheck shell=sh
_af() {
  echo "awsb: $*" >&2
  exit 126
}
