#!/usr/bin/env bash
# The output of a finished job of many lines: `bout` beside paging with boto3 and the old `awsbout`,
# over a wire with 50 ms of latency, and over one that also turns away more than 25 calls a second:
#
#     benches/output.sh [LINES] [RUNS]        (default: 1000000 lines, 3 runs)
#
# Prints for each the median wall time from exec to exit, the lines that were shown, the calls that
# were made (and how many of them were turned away) and the peak memory. The runs alternate. Server
# and wire are the tests' own, on this machine; what they take is in all columns. Every line that
# bout shows is compared with what was printed.
#
# It sets up what it needs: a release build, and the tests' Python environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

lines=${1:-1000000} runs=${2:-3}
numbers '[LINES] [RUNS]' "$lines" "$runs"
prepare "${PROFILE_OPTION:---release}" --examples
exec "$python/python" benches/output.py "$lines" "$runs" "$target/${PROFILE_FOLDER:-release}" "$python"
