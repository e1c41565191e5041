#!/bin/bash
# On the main node, called by another one over ssh:
# `report.sh INDEX ADDRESS INTERFACE NETWORK VCPUS BOOT MAIN-ADDRESS`. The last is the main node's
# own, which Batch tells all nodes but that one.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh
case $#,$1$5,$2$3$4$6$7 in
[!7],* | ?,*[!0-9]*,* | *[!0-9A-Za-z.,/_-]*) fail 'report.sh INDEX ADDRESS INTERFACE NETWORK VCPUS BOOT MAIN-ADDRESS' ;;
esac
umask 077
# Under its name the file is whole.
echo "$2 $3 $4 $5 $6 $7" >"$dir/nodes/.$1"
mv "$dir/nodes/.$1" "$dir/nodes/$1"
