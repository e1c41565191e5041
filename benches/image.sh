#!/usr/bin/env bash
# What the job image's entry point adds to `docker run`: an ordinary job's container with it and
# without it, in turns.
#
#     benches/image.sh [IMAGE [RUNS]]
#
# IMAGE is built from docker/ where it is not given. It prints the medians and their ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-} runs=${2:-20}
if [ -z "$image" ]; then
    image=awsb-bench/job
    docker build -q -t "$image" docker >/dev/null
fi
start() {
    local begin=$EPOCHREALTIME
    docker run --rm "$@" >/dev/null
    echo $(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
}
median() {
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}
with=$(mktemp) without=$(mktemp)
trap 'rm -f "$with" "$without"' EXIT
start "$image" true >/dev/null
for ((run = 0; run < runs; run++)); do
    start "$image" true >>"$with"
    start --entrypoint /bin/true "$image" >>"$without"
done
ours=$(median <"$with") bare=$(median <"$without")
awk -v ours="$ours" -v bare="$bare" -v runs="$runs" 'BEGIN {
    printf "docker run, median of %d: %d ms; with the entry point: %d ms (%+d ms, %.2f times)\n",
        runs, bare, ours, ours - bare, ours / bare
}'
