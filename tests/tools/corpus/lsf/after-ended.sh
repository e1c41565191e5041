#!/bin/bash
#BSUB -J cleanup
#BSUB -w "ended(simulate)"
#BSUB -M 100MB -W 5
rm -rf scratch
