#!/bin/bash
# mpirun's ssh: `launch.sh [OPTION…] ADDRESS COMMAND…`. With the command goes the environment:
# whatever the job's script has exported is there for each rank, as under Slurm. It goes through the
# pipe: a command line is no place for secrets.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh
# As ssh reads them: before the address and behind it. The first port is what counts, and that is
# sshd's here.
options=() address=''
while [ $# -gt 0 ]; do
    OPTIND=1
    while getopts :1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy option; do
        case $option in
        :) fail "ssh's option -$OPTARG takes a value" ;;
        \?) fail "ssh has no option -$OPTARG" ;;
        *) options+=("-$option" ${OPTARG+"$OPTARG"}) ;;
        esac
    done
    shift "$((OPTIND - 1))"
    [ -z "$address" ] || break
    address=${1-}
    [ $# = 0 ] || shift
done
[ "$address" ] || fail 'launch.sh [OPTION…] ADDRESS COMMAND…'
# ssh joins words with blanks, and so does ssh_connect.py: `$*` is what mpirun means.
command=$*
exec ssh -F "$here/ssh_config" -o "Port=${AWSB_SSH_PORT:-2222}" "${options[@]}" "$address" \
    "$here/ssh_connect.py ${command@Q}" < <(env -0)
