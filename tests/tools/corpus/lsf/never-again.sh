#!/bin/bash
#BSUB -J once
#BSUB -rn
#BSUB -M 100MB -W 5
echo "a second run would count twice"
