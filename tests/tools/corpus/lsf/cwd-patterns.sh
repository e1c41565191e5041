#!/bin/bash
#BSUB -J patterns
#BSUB -cwd /tmp/awsb_corpus_%J_%I
#BSUB -M 100MB -W 5
d=$(basename "$(pwd -P)")
echo "${d%%_[0-9]*}" 
rmdir "$PWD" 2>/dev/null || true
