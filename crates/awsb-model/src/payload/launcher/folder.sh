# shellcheck shell=sh
# A working directory of the job's own. Names begin with _a, so that no variable of the job is overwritten. An image
# without mkdir has room for one job only. Whoever starts the job may have made the directory and put there what the
# launcher would unpack: then AWSB_UNPACKED is its path.
_ao=$PWD
if [ "${AWSB_UNPACKED-}" ]; then
  _ab=$AWSB_UNPACKED _ad=$AWSB_UNPACKED
else
# only: bundle
  for _at in base64 gzip tar; do
    command -v $_at >/dev/null || _af "the image has no $_at, which is needed to unpack the job"
  done
# end
  # To root, busybox's [ says that a read-only file system can be written: only mkdir tells.
  for _ab in "${TMPDIR:-/tmp}" /tmp "$_ao" /var/tmp /dev/shm ''; do
    { [ -d "$_ab" ] && [ -w "$_ab" ]; } || continue
    _ad=$_ab
    command -v mkdir >/dev/null || break
    _an=0
    until _ad=$_ab/awsb.$$.$_an && mkdir -m 700 "$_ad" 2>/dev/null; do
      _an=$((_an + 1))
      [ $_an -lt 100 ] || continue 2
    done
    break
  done
fi
[ "$_ab" ] || _af 'nowhere to unpack the job: $TMPDIR, /tmp, the working directory, /var/tmp and /dev/shm cannot be written'
cd "$_ad" || _af "cannot enter $_ad"
# TMPDIR may be a relative path.
_ad=$PWD
