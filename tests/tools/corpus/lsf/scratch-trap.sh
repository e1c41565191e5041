#!/bin/bash
#BSUB -J scratch
#BSUB -M 200MB -W 30
set -eu
tmp=$(mktemp -d "${TMPDIR:-/tmp}/run_${LSB_JOBID}_XXXXXX")
trap 'rm -rf "$tmp"' EXIT
case $tmp in *:*) echo "a colon in $tmp" >&2; exit 1 ;; esac
printf '3\n1\n2\n' > "$tmp/in"
sort -n "$tmp/in" | paste -s -d ' ' -
