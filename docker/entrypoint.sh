#!/bin/sh
# What a job's container begins with. An ordinary job goes on at once.
set -eu
here=/usr/local/lib/awsb
if [ "${AWS_BATCH_JOB_NUM_NODES:-1}" -gt 1 ]; then
    set -- "$here/nodes.sh" "$@"
fi
if [ "${AWSB_SHARED-}" ]; then
    "$here/mounts.sh"
    # Root was for the mounts alone. What follows, the key and the sshd of a node among it, is
    # AWSB_RUN_AS, whoever the image or the job would have been.
    if [ "$(id -u)" = 0 ] && [ "${AWSB_RUN_AS:=awsb}" != root ]; then
        entry=$(getent passwd "$AWSB_RUN_AS") || {
            echo "awsb: AWSB_RUN_AS: the image has no user $AWSB_RUN_AS for the job to be" >&2
            exit 126
        }
        IFS=: read -r USER _ uid gid _ HOME _ <<END
$entry
END
        export HOME USER LOGNAME="$USER"
        set -- setpriv --reuid "$uid" --regid "$gid" --init-groups "$@"
    fi
fi
exec "$@"
