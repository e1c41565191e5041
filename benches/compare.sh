#!/usr/bin/env bash
# bstat and bsub beside the tools that they succeed, awsbstat and awsbsub, against the same moto server in one run:
#
#     benches/compare.sh [RUNS]        (default: 20, at least 10)
#
# Prints the median wall time, CPU time (user and system) and peak memory of one command as its user meets it, from
# exec to exit, and how many times less awsb takes. The runs of the old and the new tool alternate, so that a slow
# moment of the machine meets both. The server is not measured; its part of the wall time is in both columns. It
# is moto without containers (a job has SUCCEEDED once it is submitted), so no Docker engine is needed.
#
# It sets up what it needs: a release build, and the tests' Python environment under target/.
set -euo pipefail

runs=${1:-20}
case $runs in *[!0-9]* | '') echo "usage: $0 [RUNS]" >&2 && exit 2 ;; esac
if [ "$runs" -lt 10 ]; then
    echo "$0: a median of fewer than 10 runs says little" >&2
    exit 2
fi

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cd "$root"
cargo build --release --locked --bins >&2
python=$(python3 tests/support/venv.py "$target/tmp/python")
exec "$python/bin/python" benches/compare.py "$runs" "$target/release" "$python/bin"
