#!/usr/bin/env bash
# The time from the key to the candidates, on a machine with 50 clusters in the settings and 10,000
# jobs in the history of the cluster that is meant:
#
#     benches/completions.sh [RUNS] [PROGRAM]        (default: 20, at least 10; a release build)
#
# PROGRAM is an `awsb` that is there already, such as that of a package. For each kind of word, the
# medians are of `awsb __complete` alone, and of the whole function inside bash, zsh and fish. The
# goal is 50 ms. Only Python's standard library is used; a shell that is not installed is left out.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

runs=${1:-20}
numbers '[RUNS] [PROGRAM]' "$runs"
enough "$runs"
if [ $# -lt 2 ]; then cargo build --locked --bins --release >&2; fi
exec python3 benches/completions.py "$runs" "${2:-$target/release/awsb}"
