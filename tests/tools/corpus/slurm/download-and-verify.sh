#!/bin/bash
#SBATCH -J fetch -t 30 --mem=500M -n 1
set -o errexit -o nounset -o pipefail
retry() {
    local n=1
    until "$@"; do
        [ $n -lt 3 ] || return 1
        n=$((n + 1))
    done
    echo "after $n tries"
}
flaky() { echo x >> tries; [ "$(wc -l < tries)" -ge 2 ]; }
retry flaky
printf 'data\n' > file.txt
cksum file.txt > file.sum && cksum file.txt | cmp - file.sum && echo "verified"
