#!/bin/sh
# A Monte Carlo estimate of pi: the share of random points of the unit square that lie inside the
# quarter circle. Usage: pi.sh [POINTS]
set -eu

points=${1:-100000}
# Each child of an array job draws points of its own.
seed=$(($$ + ${AWS_BATCH_JOB_ARRAY_INDEX:-0}))

awk -v points="$points" -v seed="$seed" 'BEGIN {
    srand(seed)
    for (i = 0; i < points; i++) {
        x = rand()
        y = rand()
        if (x * x + y * y <= 1)
            inside++
    }
    printf "pi is about %.6f (%d points)\n", 4 * inside / points, points
}'
