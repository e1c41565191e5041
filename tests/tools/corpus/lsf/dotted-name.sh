#!/bin/bash
#BSUB -J "my.run/v2"
#BSUB -M 100MB -W 5
echo "<$LSB_JOBNAME>"
