#!/bin/bash
#BSUB -J phases
#BSUB -R "rusage[mem=2000:duration=10:decay=1]"
#BSUB -W 20
echo "more at the beginning"
