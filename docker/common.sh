# shellcheck shell=bash disable=SC2034,SC2154  # what one of these scripts sets, another one reads
# What the scripts of the nodes share.

# Memory of this container alone: no disk of the instance ever holds the key.
dir=/dev/shm/awsb-nodes
here=/usr/local/lib/awsb
main=${AWS_BATCH_JOB_MAIN_NODE_INDEX:-0}
count=${AWS_BATCH_JOB_NUM_NODES:-1}
limit=${AWSB_NODES_TIMEOUT:-600}

# The machine below the container.
boot() {
    cat /proc/sys/kernel/random/boot_id
}

say() {
    echo "awsb: $*" >&2
}

# 126 is what a shell says of what it cannot start, and what the launcher of bsub says.
fail() {
    say "$@"
    exit 126
}

# vCPUs of this container. Batch gives them as a share of the instance, which nproc does not see: it
# would count all of the instance's.
slots() {
    local vcpus=${AWSB_VCPUS-} limit quota period
    if [ -z "$vcpus" ] && [ "${ECS_CONTAINER_METADATA_URI_V4-}" ]; then
        # "Limits":{"CPU":2048,…}: 1,024 are a vCPU (ECS Developer Guide, container metadata
        # endpoint 4).
        limit=$(curl -fsS --noproxy '*' --max-time 5 --retry 3 "$ECS_CONTAINER_METADATA_URI_V4" |
            sed -n 's/.*"Limits":{[^}]*"CPU":\([0-9]*\).*/\1/p') || limit=''
        vcpus=$((${limit:-0} / 1024))
    fi
    if [ "${vcpus%%.*}" = 0 ] || [ -z "$vcpus" ]; then
        quota='' period=''
        if [ -r /sys/fs/cgroup/cpu.max ]; then
            read -r quota period </sys/fs/cgroup/cpu.max
        elif [ -r /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]; then
            quota=$(</sys/fs/cgroup/cpu/cpu.cfs_quota_us) period=$(</sys/fs/cgroup/cpu/cpu.cfs_period_us)
        fi
        case $quota in
        '' | max | -*) vcpus=$(nproc) ;;
        *) vcpus=$(((quota + period - 1) / period)) ;;
        esac
    fi
    vcpus=${vcpus%%.*}
    echo "$((vcpus > 0 ? vcpus : 1))"
}
