#!/bin/bash
#BSUB -J transfer
#BSUB -f "input.dat > input.dat"
#BSUB -f "result.dat < result.dat"
#BSUB -M 100MB -W 5
sort input.dat > result.dat
cat result.dat
