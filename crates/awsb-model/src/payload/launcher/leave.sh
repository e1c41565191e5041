# shellcheck shell=sh
# The job runs somewhere else and needs nothing of the bundle. Where there is no mkdir, the directory is not the job's own.
if [ -d "$_ad/.awsb" ]; then
  case $_ad in
  */awsb.$$.*) rm -rf "$_ad" 2>/dev/null ;;
  *) rm -rf "$_ad/.awsb" "$_ad/.awsb.gz" 2>/dev/null ;;
  esac
fi
