# shellcheck shell=sh
# A plain command runs where the image would have run it.
cd "$_ao" || :
