#!/bin/bash
# mpirun's ssh: `launch.sh [OPTION…] ADDRESS COMMAND…`. With the command goes the environment: whatever the job's script
# has exported is there for each rank, as under Slurm. It goes through the pipe: a command line is no place for secrets.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh
options=()
while [[ ${1-} == -* ]]; do
    options+=("$1")
    shift
done
address=$1
shift
# ssh joins words with blanks, and so does join.py: `$*` is what mpirun means.
command=$*
exec ssh -F "$here/ssh_config" -o "Port=${AWSB_SSH_PORT:-2222}" "${options[@]}" "$address" \
    "$here/join.py ${command@Q}" < <(env -0)
