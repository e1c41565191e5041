#!/bin/bash
#BSUB -J stdin
#BSUB -i settings.txt
#BSUB -M 100MB -W 5
read -r first && echo "$first"
