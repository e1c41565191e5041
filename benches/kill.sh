#!/usr/bin/env bash
# bkill of many jobs over a network with 50 ms to every answer, beside one TerminateJob after the
# other, as boto3 and the aws command make them:
#
#     benches/kill.sh [JOBS] [RUNS]        (default: 10000 3)
#
# The server is a local cluster on which the jobs wait. Prints medians of the wall time, and how
# many calls were made. boto3 ends a hundredth of the jobs, and its time is multiplied.
#
# It sets up what it needs: a release build (PROFILE=debug: a debug build), and the tests' Python
# environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

jobs=${1:-10000} runs=${2:-3}
numbers '[JOBS] [RUNS]' "$jobs" "$runs"
case ${PROFILE:-release} in
    debug) prepare ;;
    *) prepare --release ;;
esac
exec "$python/python" benches/kill.py "$jobs" "$runs" "$target/${PROFILE:-release}"
