#!/bin/bash
#BSUB -J tonight
#BSUB -b 22:00
#BSUB -M 100MB -W 5
echo "not before ten"
