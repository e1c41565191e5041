#!/bin/bash
#BSUB -J "steps[1-7:3,20]"
#BSUB -M 100MB
#BSUB -W 5
# The end and the step are those of the element's own range.
echo "element $LSB_JOBINDEX: up to $LSB_JOBINDEX_END by $LSB_JOBINDEX_STEP"
