#!/bin/bash
#BSUB -J either
#BSUB -R "{rusage[mem=8000]} || {rusage[mem=4000]}"
#BSUB -W 1:00
echo either
