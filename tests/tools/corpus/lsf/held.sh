#!/bin/bash
#BSUB -J held
#BSUB -H
#BSUB -M 100MB -W 5
echo "only after bresume"
