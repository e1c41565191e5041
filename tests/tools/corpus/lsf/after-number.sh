#!/bin/bash
#BSUB -J second
#BSUB -w "done(1234567)"
#BSUB -M 100MB -W 5
echo second
