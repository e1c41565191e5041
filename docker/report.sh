#!/bin/bash
# On the main node, called by another one over ssh: `report.sh INDEX VCPUS BOOT`. The address is the one it came from.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh
case $1$2 in
*[!0-9]*) fail 'report.sh INDEX VCPUS BOOT' ;;
esac
umask 077
read -r theirs _ ours _ <<<"$SSH_CONNECTION"
# Under its name the file is whole.
echo "$theirs $2 $3 $ours" >"$dir/nodes/.$1"
mv "$dir/nodes/.$1" "$dir/nodes/$1"
