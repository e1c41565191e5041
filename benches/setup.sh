# shellcheck shell=bash
# What every bench begins with; to be sourced by the scripts beside it. It sets:
#
# target   the folder with the built programs' profiles
# python   the folder with the programs of the tests' Python environment (set by `prepare`)
#
# shellcheck disable=SC2034  # used by who sources this

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cd "$root" || exit

# numbers USAGE VALUE…: every value is a number from 1 on.
numbers() {
    local usage=$1 value
    shift
    for value in "$@"; do
        case $value in *[!0-9]* | '' | 0) echo "usage: $0 $usage" >&2 && exit 2 ;; esac
    done
}

# enough RUNS: as many as a median needs.
enough() {
    if [ "$1" -lt 10 ]; then
        echo "$0: a median of fewer than 10 runs says little" >&2
        exit 2
    fi
}

# prepare OPTION…: builds with these options of cargo, and sets the Python environment up.
prepare() {
    cargo build --locked --bins "$@" >&2
    python=$(python3 crates/awsb-testkit/python/venv.py "$target/tmp/python")/bin
}
