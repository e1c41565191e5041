#!/usr/bin/env bash
# What a submission takes:
#
#     benches/submit.sh [RUNS] [SUBMISSIONS] [LINES]        (default: 20, at least 10; 1000; 10000)
#
# 1. `bsub script.sh` beside the old `awsbsub -cf script.sh`, through a proxy that adds 100 ms to
#    every request, in front of a moto server: medians of runs in turns, and the requests that each
#    makes.
# 2. From the start of the process to the first byte that the server gets, with credentials that
#    need no request: over http, and over https, where the first byte is that of TLS.
# 3. SUBMISSIONS calls of `bsub script.sh` in a shell loop, on moto and on the local cluster, which
#    runs the jobs meanwhile; a twentieth as many of `awsbsub`, on moto.
# 4. `bsub -K --commands` of LINES lines on the local cluster, beside xargs and, where it is
#    installed, GNU parallel, that run the same lines, as many at once as there are CPUs; and arrays
#    of --wrap and of a script that do the same.
#
# It sets up what it needs: a release build, and the tests' Python environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

runs=${1:-20}
submissions=${2:-1000}
lines=${3:-10000}
numbers '[RUNS] [SUBMISSIONS] [LINES]' "$runs" "$submissions" "$lines"
enough "$runs"
prepare --release
exec "$python/python" benches/submit.py "$runs" "$submissions" "$lines" "$target/release" "$python"
