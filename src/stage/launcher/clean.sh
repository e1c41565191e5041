# shellcheck shell=sh
rm -rf "$_ad/.awsb" "$_ad/.awsb.gz" 2>/dev/null
