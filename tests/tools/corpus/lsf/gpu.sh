#!/bin/bash
#BSUB -J train
#BSUB -q gpuv100
#BSUB -gpu "num=2:mode=exclusive_process:gmodel=NVIDIAA100"
#BSUB -n 8
#BSUB -R "rusage[mem=4GB] span[hosts=1]"
#BSUB -W 24:00
nvidia-smi
python3 train.py
