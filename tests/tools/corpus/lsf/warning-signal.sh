#!/bin/bash
#BSUB -J warned
#BSUB -W 2
#BSUB -wa USR2 -wt 1
#BSUB -M 100MB
trap 'echo "checkpoint"; exit 0' USR2
# Long jobs wait here for the signal; this one has nothing left to do.
echo "done before the signal"
