# shellcheck shell=sh
[ ! -d "$_ad/.awsb" ] || rm -rf "$_ad/.awsb" "$_ad/.awsb.gz" 2>/dev/null
