# shellcheck shell=sh
# The job's standard input. The file stays open when its name is gone.
[ -r "$_ad/.awsb/stdin" ] || _af "cannot read the job's standard input"
exec <"$_ad/.awsb/stdin"
