#!/bin/bash
#BSUB -gpu -
#BSUB -J one-gpu
#BSUB -M 16GB
#BSUB -W 60
nvidia-smi
