#!/usr/bin/env bash
# The local cluster beside what else runs many small commands on one machine, in one run:
#
#     benches/local.sh [ROUNDS]        (default: 3)
#
# 1. An array of 10,000 children that each run `true`, from `bsub -K` to its end, beside
#    `seq 10000 | xargs -P CPUS -n1 true` and, where `hq` is installed, HyperQueue: median wall
#    times and the ratios. The rounds alternate, so that a slow moment of the machine meets all.
# 2. Arrays of 3,000 and of 10,000 children that each run `true` in a shell: with --wrap, from a
#    script, and as lines of --commands, beside `xargs -P CPUS sh -c`. Each has a goal as a ratio.
# 3. 1,000 children that each print 100 lines: all 100,000 lines have to be there.
# 4. With 100,000 ended jobs in the store: `bstat` of the active ones, ListJobs' first and last
#    page, the server's memory, and its start.
#
# It sets up what it needs: a release build, and the tests' Python environment (boto3) under
# target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

rounds=${1:-3}
numbers '[ROUNDS]' "$rounds"
prepare --release
exec "$python/python" benches/local.py "$rounds" "$target/release"
