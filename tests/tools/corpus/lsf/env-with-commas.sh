#!/bin/bash
#BSUB -J commas
#BSUB -env "LIST='x, y', MODE=fast"
#BSUB -M 100MB -W 5
echo "$LIST in $MODE"
