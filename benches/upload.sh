#!/usr/bin/env bash
# A large input of bsub beside `aws s3 cp` of the same file, to the same local cluster in one run:
#
#     benches/upload.sh [RUNS] [MIB]        (default: 5 runs of 2048 MiB)
#
# Prints the median wall time, CPU time (user and system) and peak memory of one upload as its user
# meets it, from exec to exit: bsub's has the hash of the content and the submission in it. Random
# bytes, which no compression makes fewer. The runs alternate, so that a slow moment of the machine
# meets both. The server, which writes every byte twice and syncs it, is not measured; its part of
# the wall time is in both. It takes three times the size on the disk.
#
# It sets up what it needs: a release build, and the tests' Python environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

runs=${1:-5}
mib=${2:-2048}
numbers '[RUNS] [MIB]' "$runs" "$mib"
prepare --release
exec "$python/python" benches/upload.py "$runs" "$mib" "$target/release" "$python"
