#!/usr/bin/env bash
# How many jobs come of one submission when the network loses replies: bsub beside boto3 and
# `aws batch submit-job`, each in front of the same server (the tests',
# crates/awsb-testkit/src/chaos.rs) with the same seed:
#
#     benches/lost_replies.sh [SUBMISSIONS]
#
# The default is 300 submissions, which take a few minutes, nearly all of them the aws command's.
#
# Prints, for a server that loses 20 % of the replies and for one that has every trouble at once:
# submissions that ended in an error, submissions whose job is not there though an ID was printed
# (lost), submissions with more than one living job (doubled), and the living jobs. Every client is
# called as its user calls it, with its own retries.
#
# It sets up what it needs: a build, and the tests' Python environment under target/.
set -euo pipefail
# shellcheck source=benches/setup.sh
. "$(dirname "$0")/setup.sh"

submissions=${1:-300}
numbers '[SUBMISSIONS]' "$submissions"
prepare --example chaos
exec "$python/python" benches/lost_replies.py "$submissions" "$target/debug" "$target/debug/examples/chaos" "$python"
