#!/bin/bash
# Another node of a job: it takes the key, reports to the main node, and stays until Batch stops it.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh
# shellcheck source-path=SCRIPTDIR source=key.sh
. "$here/key.sh"
# shellcheck source-path=SCRIPTDIR source=mpi.sh
. "$here/mpi.sh"

address=${AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS:?Batch sets it on all nodes but the main node}
said=''

# patiently WHAT COMMAND…: tries until it succeeds or the time is up, in pauses of up to 5 s.
patiently() {
    local what=$1 pause=2
    shift
    until "$@"; do
        [ $SECONDS -lt "$limit" ] || fail "$what has not been possible within $limit s (AWSB_NODES_TIMEOUT): ${said##*$'\n'}"
        # Tenths of a second, a few more each time, and not at the same moment as all the others.
        sleep "$((pause / 10)).$((pause % 10))$((RANDOM % 10))" &
        wait $! || true
        pause=$((pause < 40 ? pause * 3 / 2 : 50))
    done
}

report() {
    local facts
    facts="$AWS_BATCH_JOB_NODE_INDEX $("$here/route_interface.py" "$address") $(slots) $(boot) $address"
    # shellcheck disable=SC2086  # words
    said=$(to_node "$address" "$here/report.sh" $facts 2>&1)
}

fetch_hosts() {
    said=$(to_node "$address" cat "$dir/hostfile" 2>&1 >"$dir/hostfile.part")
}

trap 'exit 143' TERM INT HUP
patiently "fetching $object, this job's ssh key," fetch_key
start_sshd
patiently "reaching the main node at $address" report

if [ "${AWSB_RUN_ON:-main}" = all ]; then
    patiently 'waiting for the other nodes' fetch_hosts
    mv "$dir/hostfile.part" "$dir/hostfile"
    addresses=$(cut -d ' ' -f 1 "$dir/hostfile" | paste -sd ' ')
    write_hosts_config "$addresses"
    umask 022
    export AWSB_HOSTFILE="$dir/hostfile" AWSB_NODES="$addresses"
    set_up_mpi
    trap - TERM INT HUP
    exec "$@"
fi
trap 'exit 0' TERM INT HUP
while :; do
    sleep 3600 &
    wait $! || true
done
