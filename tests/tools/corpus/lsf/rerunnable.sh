#!/bin/bash
#BSUB -J again
#BSUB -r
#BSUB -We 0:30
#BSUB -sp 50 -G lab_group
#BSUB -M 100MB -W 1:00
echo "${LSB_RESTART:-first} run"
