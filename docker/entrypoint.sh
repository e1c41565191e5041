#!/bin/sh
# What a job's container begins with. An ordinary job goes on at once.
set -eu
here=/usr/local/lib/awsb
if [ "${AWSB_SHARED-}" ]; then
    "$here/mounts.sh"
    # Root was for the mounts; the job is the user that it is without them.
    if [ "$(id -u)" = 0 ] && [ "${AWSB_RUN_AS:=awsb}" != root ]; then
        HOME=$(getent passwd "$AWSB_RUN_AS" | cut -d: -f6)
        export HOME USER="$AWSB_RUN_AS" LOGNAME="$AWSB_RUN_AS"
        set -- setpriv --reuid "$AWSB_RUN_AS" --regid "$AWSB_RUN_AS" --init-groups "$@"
    fi
fi
if [ "${AWS_BATCH_JOB_NUM_NODES:-1}" -gt 1 ]; then
    set -- "$here/nodes.sh" "$@"
fi
exec "$@"
