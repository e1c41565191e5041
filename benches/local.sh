#!/usr/bin/env bash
# The local cluster beside what else runs many small commands on one machine, in one run:
#
#     benches/local.sh [ROUNDS]        (default: 3)
#
# 1. An array of 10,000 children that each run `true`, from `bsub -K` to its end, beside
#    `seq 10000 | xargs -P CPUS -n1 true` and, where `hq` is installed, HyperQueue: median wall times and the ratios.
#    The rounds alternate, so that a slow moment of the machine meets all.
# 2. 1,000 children that each print 100 lines: all 100,000 lines have to be there.
# 3. With 100,000 ended jobs in the store: `bstat` of the active ones, ListJobs' first and last page, the server's
#    memory, and its start.
#
# It sets up what it needs: a release build, and the tests' Python environment (boto3) under target/.
set -euo pipefail

rounds=${1:-3}
case $rounds in *[!0-9]* | '' | 0) echo "usage: $0 [ROUNDS]" >&2 && exit 2 ;; esac

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cd "$root"
cargo build --release --locked --bins >&2
python=$(python3 tests/support/venv.py "$target/tmp/python")
exec "$python/bin/python" benches/local.py "$rounds" "$target/release"
