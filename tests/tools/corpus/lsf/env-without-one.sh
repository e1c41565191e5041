#!/bin/bash
#BSUB -J without
#BSUB -env "all, ~MY_OWN_SETTING"
#BSUB -M 100MB -W 5
echo "${MY_OWN_SETTING:-no setting} came along"
