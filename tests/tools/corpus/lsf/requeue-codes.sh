#!/bin/bash
#BSUB -J requeue
#BSUB -Q "75 99"
#BSUB -M 100MB -W 5
echo "75 means: again"
