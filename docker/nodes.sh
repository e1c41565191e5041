#!/bin/bash
# A node of a multi-node parallel job. The main node makes a key, waits for the others and runs the
# command; the others take the key, report, and are there for what mpirun starts on them.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh

if [ -z "${AWSB_NODES_URL-}" ]; then
    say 'AWSB_NODES_URL (s3://BUCKET/PREFIX/nodes) is not set, as bsub sets it: the nodes are not connected'
    exec "$@"
fi
entry=$(getent passwd "$(id -u)") ||
    fail "ssh between nodes takes a user of the image, and $(id -u) is none: see --user, or add it in the image"
# sshd starts commands by the user's shell, and /usr/sbin/nologin starts none.
shell=${entry##*:}
[[ $("${shell:-/bin/sh}" -c 'echo awsb' 2>/dev/null) == *awsb ]] ||
    fail "ssh between nodes takes a user with a shell, and ${entry%%:*} has $shell: see --user, or usermod --shell in the image"
case $limit in
'' | *[!0-9]*) fail "AWSB_NODES_TIMEOUT is a number of seconds, not '$limit'" ;;
esac
umask 077
mkdir "$dir" || fail "cannot make $dir"
if [ "${AWS_BATCH_JOB_NODE_INDEX:-0}" = "$main" ]; then
    exec "$here/main_node.sh" "$@"
fi
exec "$here/other_node.sh" "$@"
