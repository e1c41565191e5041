#!/usr/bin/env bash
# bstat and bsub beside the tools that they succeed, awsbstat and awsbsub, against the same moto
# server in one run:
#
#     benches/compare.sh [RUNS]        (default: 20, at least 10)
#
# Prints the median wall time, CPU time (user and system) and peak memory of one command as its user
# meets it, from exec to exit, and how many times less awsb takes. The runs of the old and the new
# tool alternate, so that a slow moment of the machine meets both. The server is not measured; its
# part of the wall time is in both columns. It is moto without containers (a job has SUCCEEDED once
# it is submitted), so no Docker engine is needed.
#
# It sets up what it needs: a release build, and the tests' Python environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

runs=${1:-20}
numbers '[RUNS]' "$runs"
enough "$runs"
prepare --release
exec "$python/python" benches/compare.py "$runs" "$target/release" "$python"
