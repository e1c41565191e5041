#!/bin/bash
# Shared directories that Batch cannot mount itself, as AWSB_SHARED says: a line each,
# `SOURCE PATH TYPE [OPTIONS]`, as in /etc/fstab. It takes root and a privileged job definition.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh

while read -r source path type options _; do
    [ "$source" ] || continue
    [ "$(id -u)" = 0 ] ||
        fail "mounting $path takes root: the job definition needs \"user\": \"root\" and \"privileged\": true"
    case $type in
    # What AWS recommends for EFS and FSx over NFS; later options win.
    nfs | nfs4) options="nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport${options:+,$options}" type=nfs4 ;;
    esac
    case $type in
    nfs4 | lustre) command -v "mount.$type" >/dev/null || [ -x "/sbin/mount.$type" ] ||
        fail "mounting $source at $path: the image has no mount.$type; add its package, or mount it on the instance (a launch template) and use --mount" ;;
    esac
    mkdir -p "$path" || fail "cannot make $path to mount $source"
    # shellcheck disable=SC2086  # none is no argument
    said=$(mount -t "$type" ${options:+-o "$options"} "$source" "$path" 2>&1) || {
        case $said in
        *'ermission denied'* | *'not permitted'* | *'must be superuser'*)
            # CAP_SYS_ADMIN is the 22nd bit of the set.
            caps=$(sed -n 's/^CapEff:\t*//p' /proc/self/status)
            [ $((0x$caps >> 21 & 1)) = 1 ] ||
                fail "mounting $source at $path is not permitted: the job definition needs \"privileged\": true"
            ;;
        esac
        fail "mounting $source at $path: ${said//$'\n'/ }"
    }
done <<<"$AWSB_SHARED"
