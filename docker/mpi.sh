# shellcheck shell=bash disable=SC2034,SC2154  # what one of these scripts sets, another one reads
# What makes `mpirun` reach all nodes without an option. A variable that the job has set already is
# left alone.

# write_hosts_config "ADDRESS…": for `ssh ADDRESS` in the job's script.
write_hosts_config() {
    # shellcheck disable=SC2154  # dir and here are common.sh's
    sed "s/^Host .*/Host $1\n    Port ${AWSB_SSH_PORT:-2222}/" "$here/ssh_config" >"$dir/hosts_config"
}

default() {
    [ "${!1-}" ] || export "$1=$2"
}

# among PARAMETER NETWORKS: they are what is used, where the job has not said which are not.
among() {
    local exclude=$1_if_exclude
    [ "${!exclude-}" ] || default "$1_if_include" "$2"
}

# For Open MPI 4 (OMPI_MCA_…) and 5, whose runtime is PRRTE (PRTE_MCA_…).
set_up_mpi() {
    local prefix parameter
    default OMPI_MCA_orte_default_hostfile "$dir/hostfile"
    default PRTE_MCA_prte_default_hostfile "$dir/hostfile"
    default OMPI_MCA_plm_rsh_agent "$here/launch.sh"
    default PRTE_MCA_plm_ssh_agent "$here/launch.sh"
    # A job that Batch starts as root is root in its container alone.
    for prefix in OMPI PRTE; do
        default "${prefix}_ALLOW_RUN_AS_ROOT" 1
        default "${prefix}_ALLOW_RUN_AS_ROOT_CONFIRM" 1
    done
    # Nodes that have several networks in common would speak over any of them, and now and then wait
    # for each other on two: the one by which they have found each other is enough. PRRTE warns of
    # any network, and takes an interface.
    if [[ ${interfaces-} != *[' -']* && ${networks-} == */* && $networks != *' '* ]]; then
        among PRTE_MCA_prte "$interfaces"
        among OMPI_MCA_btl_tcp "$networks"
        among OMPI_MCA_oob_tcp "$networks"
    # In different subnets, that of ECS alone is left out: every container has the same addresses
    # there. Open MPI warns of a network that it does not find.
    elif [[ $(hostname -I) == *169.254.* ]]; then
        for parameter in OMPI_MCA_btl_tcp OMPI_MCA_oob_tcp PRTE_MCA_prte; do
            default "${parameter}_if_exclude" 127.0.0.0/8,169.254.0.0/16
        done
    fi
    # A vCPU is half a core, and the container need not have the instance alone: ranks bound to
    # cores would share the first ones and leave the rest idle, or mpirun would refuse them.
    # `mpirun --bind-to core` has its way.
    default OMPI_MCA_hwloc_base_binding_policy none
    default PRTE_MCA_hwloc_default_binding_policy none
    # Not every container engine and kernel lets one rank read another's memory. Open MPI 5 finds
    # out, 4 complains of each message.
    default OMPI_MCA_btl_vader_single_copy_mechanism none
    # Ranks that wait take the CPU from those that work where there are more of them than CPUs:
    # nodes that share a machine (the same boot) may well.
    if [ "${shared_slots:-0}" -gt "$(nproc --all)" ]; then
        default OMPI_MCA_mpi_yield_when_idle 1
    fi
}
