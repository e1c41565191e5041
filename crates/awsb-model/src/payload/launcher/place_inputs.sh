# shellcheck shell=sh
# Inputs belong into the working directory, wherever that is.
if [ -d "$_ad/.awsb/in" ]; then
  cp -Rp "$_ad/.awsb/in/." . || _af "cannot put the inputs into $_aw"
fi
