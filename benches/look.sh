#!/usr/bin/env bash
# bstat beside the tool that it succeeds, awsbstat, over a network with 50 ms to every answer, and
# with a server that turns away more than 25 calls a second:
#
#     benches/look.sh [CHILDREN] [RUNS]        (default: 10000 3)
#
# The server is a local cluster with an array of so many children that have ended. Prints medians of
# the wall time, how many calls each tool made, how many of them were turned away, and how many
# children it showed. The runs alternate.
#
# It sets up what it needs: a release build, and the tests' Python environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

children=${1:-10000} runs=${2:-3}
numbers '[CHILDREN] [RUNS]' "$children" "$runs"
prepare --release
exec "$python/python" benches/look.py "$children" "$runs" "$target/release" "$python"
