#!/usr/bin/env bash
# A Slurm of one node on this machine, from Debian's packages slurmctld, slurmd, slurm-client and munge:
#
#     one-node-slurm.sh start DIR     starts it, if it does not run; prints the line that points Slurm's commands at it
#     one-node-slurm.sh stop DIR      stops it, if it runs; the folder stays
#
# Everything that it writes is in DIR, and it listens on loopback alone (on all addresses where nobody knows the host's
# name), on ports that are free. It runs as whoever starts it, root or not, and so do its jobs. The node has 32 CPUs and
# 128 GB, whatever the machine has: nothing binds a job to them. Beside it are seven nodes with GPUs that are down, so that
# a job for them can be submitted, though not run.
set -euo pipefail

# slurmctld, slurmd and munged are in sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

usage() {
    echo "usage: one-node-slurm.sh start|stop DIR" >&2
    exit 2
}

fail() {
    echo "one-node-slurm.sh: $*" >&2
    for log in "$dir"/log/*; do tail -n 5 "$log" >&2 || true; done
    stop
    exit 1
}

# patiently COMMAND…: until it succeeds, for 30 seconds at most.
patiently() {
    local deadline=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# is PID NAME: whether this process lives and has this name; another one may have its number by now.
is() {
    [ -n "$1" ] && [ "$(ps -o comm= -p "$1" 2>/dev/null)" = "$2" ]
}

# runs PID-FILE NAME
runs() {
    is "$(cat "$1" 2>/dev/null)" "$2"
}

# A port that nobody listens on, below those that the kernel gives to clients.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 12000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    return 1
}

configure() {
    local host user version loopback='' controller=$1 node=$2
    host=$(hostname -s)
    user=$(id -un)
    # Slurm looks the host's own name up, to listen on one address alone.
    if getent ahosts "$host" >/dev/null; then loopback=CommunicationParameters=NoCtldInAddrAny,NoInAddrAny; fi
    cat >"$dir/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$node
$loopback
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
MailProg=/bin/true
ReturnToService=2
MinJobAge=3600
FirstJobId=700001
Licenses=matlab:10
KillWait=5
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=32 RealMemory=128000 TmpDisk=100000 Features=skylake State=UNKNOWN
NodeName=far[1-7] NodeAddr=127.0.0.1 Port=$((node + 1)) CPUs=128 RealMemory=1024000 TmpDisk=100000 Features=icelake Gres=gpu:a100:8 State=DOWN
PartitionName=local Nodes=ALL Default=YES DefaultTime=61 MaxTime=INFINITE State=UP
CONF
    # Newer versions look for cgroups, used or not, unless they are told; older ones do not know the word.
    version=$(slurmd -V)
    version=${version##* }
    if [ "${version%%.*}" -ge 24 ]; then echo "CgroupPlugin=disabled" >"$dir/cgroup.conf"; fi
    # They are down, so nobody asks where their GPUs are.
    echo "NodeName=far[1-7] Name=gpu Type=a100 Count=8 File=/dev/nvidia[0-7]" >"$dir/gres.conf"
}

start_munge() {
    if runs "$dir/munge/pid" munged; then return; fi
    mkdir -p "$dir/munge"
    # munged insists on who may write beside its socket and on who may read its key.
    chmod 755 "$dir/munge"
    if ! [ -f "$dir/munge/key" ]; then
        (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/key")
    fi
    munged --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
        --log-file="$dir/log/munged" --seed-file="$dir/munge/seed" 2>>"$dir/log/munged.err" ||
        fail "munged does not start"
    patiently munge --no-input --socket="$dir/munge/socket" || fail "munged does not answer"
}

start() {
    mkdir -p "$dir"/{state,spool,log}
    start_munge
    if ! runs "$dir/slurmctld.pid" slurmctld || ! runs "$dir/slurmd.pid" slurmd; then
        local ports
        # Somebody may take a port between the look at it and the start: then there are others.
        for _ in {1..5}; do
            stop_slurm
            ports=$(free_port) || fail "there is no free port"
            configure "$(free_port)" "$ports"
            slurmctld -f "$SLURM_CONF" || continue
            patiently scontrol ping || continue
            slurmd -f "$SLURM_CONF" && patiently is_idle && break
        done
        is_idle || fail "Slurm does not start"
    fi
    echo "export SLURM_CONF=$SLURM_CONF"
}

is_idle() {
    sinfo --noheader --format=%t | grep -qE 'idle|mix|alloc'
}

# stop_daemon PID-FILE NAME: a daemon takes its file away before it ends.
stop_daemon() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    if is "$pid" "$2"; then
        kill "$pid" || true
        patiently gone "$pid" "$2" || kill -9 "$pid" || true
    fi
}

gone() {
    ! is "$@"
}

stop_slurm() {
    stop_daemon "$dir/slurmd.pid" slurmd
    stop_daemon "$dir/slurmctld.pid" slurmctld
}

# What still runs would outlive its slurmd.
end_jobs() {
    if runs "$dir/slurmctld.pid" slurmctld && runs "$dir/slurmd.pid" slurmd; then
        scancel --user="$(id -un)" 2>/dev/null || true
        patiently no_jobs || true
    fi
}

no_jobs() {
    [ -z "$(squeue --noheader)" ]
}

stop() {
    end_jobs
    stop_slurm
    stop_daemon "$dir/munge/pid" munged
}

[ $# = 2 ] || usage
mkdir -p "$2"
dir=$(cd "$2" && pwd)
export SLURM_CONF=$dir/slurm.conf
case $1 in
start) start ;;
stop) stop ;;
*) usage ;;
esac
