#!/bin/sh
# Stands in for the programs that the scripts of the corpus call: it is found under their names, says what it was asked
# for, and does as much as the next line of a script needs.
name=${0##*/}

# mpirun -n N [-N M] COMMAND…: the ranks one after the other, with the variables of Open MPI.
ranks() {
    n=1
    while [ $# -gt 0 ]; do
        case $1 in
        -n | -np) n=$2 && shift 2 ;;
        -N) shift 2 ;;
        *) break ;;
        esac
    done
    rank=0
    while [ "$rank" -lt "$n" ]; do
        OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_LOCAL_RANK=$rank OMPI_COMM_WORLD_SIZE=$n "$@" </dev/null || exit
        rank=$((rank + 1))
    done
}

# parallel [-j N] [--joblog FILE] COMMAND ::: VALUES…, or the commands on standard input.
farm() {
    command=
    while [ $# -gt 0 ]; do
        case $1 in
        -j | --joblog) shift 2 ;;
        :::) shift && break ;;
        *) command="$command${command:+ }$1" && shift ;;
        esac
    done
    [ -n "$command" ] || exec sh -e
    for value; do
        printf '%s\n' "$command" | sed "s|{}|$value|g" | sh -e
    done
}

# The last operand.
last() {
    for last; do :; done
    printf '%s\n' "$last"
}

case $name in
module | ml) ;;
mpirun | mpiexec) ranks "$@" ;;
parallel) farm "$@" ;;
python) exec python3 "$@" ;;
conda)
    case "$*" in
    "info --base") printf "%s/conda_root\n" "$(dirname "$0")" ;;
    "shell.bash hook") cat "$(dirname "$0")/conda_root/etc/profile.d/conda.sh" ;;
    esac
    ;;
conda.sh)
    echo "this is to be read by a shell" >&2
    exit 2
    ;;
apptainer | singularity)
    # exec OPTIONS IMAGE COMMAND…
    while [ "${1%.sif}" = "$1" ]; do shift; done
    shift
    exec "$@"
    ;;
bwa)
    case $1 in
    index) : >"$2.bwt" ;;
    mem)
        echo "@HD"
        cat "$(last "$@")"
        ;;
    esac
    ;;
samtools)
    case $1 in
    sort)
        while [ "$1" != -o ]; do shift; done
        cat >"$2"
        ;;
    index) : >"$(last "$@").bai" ;;
    view) grep -vc '^@' "$(last "$@")" ;;
    esac
    ;;
g16) wc -l | sed 's/^ */g16: lines of input: /' ;;
Rscript)
    for argument; do
        if [ "$argument" = - ]; then exec sed 's/^/R> /'; fi
    done
    # A script's own folder is another one in each job.
    for argument; do
        shift
        case $argument in
        ./*) set -- "$@" "${argument#./}" ;;
        /*) set -- "$@" "${argument##*/}" ;;
        *) set -- "$@" "$argument" ;;
        esac
    done
    echo "Rscript $*"
    ;;
*) echo "$name $*" ;;
esac
