#!/bin/bash
# The main node of a job: from its key to its command.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /usr/local/lib/awsb/common.sh
# shellcheck source-path=SCRIPTDIR source=key.sh
. "$here/key.sh"
# shellcheck source-path=SCRIPTDIR source=mpi.sh
. "$here/mpi.sh"

mkdir "$dir/nodes"
make_key
start_sshd
# A killed job, too, leaves no key behind. `kill -9` does: awsb clears away what is older than a
# day.
trap delete_key EXIT
trap 'exit 143' TERM INT HUP
send_key

# all_are_there: whether they are; who is missing is in $left. (In a loop that a signal ends, a
# substitution would now and then have bash complain of its syntax.)
all_are_there() {
    local index
    left=''
    for ((index = 0; index < count; index++)); do
        [ "$index" = "$main" ] || [ -e "$dir/nodes/$index" ] || left+="$index "
    done
    [ -z "$left" ]
}

until all_are_there; do
    if [ $SECONDS -ge "$limit" ]; then
        say "of $count nodes these have not come within $limit s (AWSB_NODES_TIMEOUT): ${left% }"
        for index in $left; do
            say "node $index: bstat ${AWS_BATCH_JOB_ID%%#*}#$index says how it is, bout ${AWS_BATCH_JOB_ID%%#*}#$index what it said"
        done
        fail "where they run: they need TCP to each other on all ports (the security group has to let in its own
members), and the job role needs s3:GetObject on $object (docs/image.md)"
    fi
    # Woken by the signal that ends it, too.
    sleep 0.1 &
    wait $! || true
done
# All have it. A signal that comes meanwhile deletes it once more.
delete_key
trap - EXIT TERM INT HUP

# Each file is of one node: its address, its interface and network, its vCPUs, its machine, and this
# node's address as that one sees it.
addresses='' interfaces='' networks='' shared_slots=0 boot=$(boot) all=$dir/hostfile
for ((index = 0; index < count; index++)); do
    if [ "$index" = "$main" ]; then
        read -r other _ _ _ _ address < <(cat "$dir/nodes"/*)
        read -r _ interface network < <("$here/route_interface.py" "$other")
        vcpus=$(slots) its_boot=$boot
    else
        read -r address interface network vcpus its_boot _ <"$dir/nodes/$index"
    fi
    [ "$its_boot" != "$boot" ] || shared_slots=$((shared_slots + vcpus))
    echo "$address slots=$vcpus" >>"$all.part"
    addresses="${addresses:+$addresses }$address"
    [[ " $interfaces " == *" $interface "* ]] || interfaces="${interfaces:+$interfaces }$interface"
    [[ " $networks " == *" $network "* ]] || networks="${networks:+$networks }$network"
done
write_hosts_config "$addresses"
mv "$all.part" "$all"
umask 022
export AWSB_HOSTFILE="$all" AWSB_NODES="$addresses"
set_up_mpi
exec "$@"
