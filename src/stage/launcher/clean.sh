# shellcheck shell=sh
rm -rf "$_ad/.awsb" 2>/dev/null
