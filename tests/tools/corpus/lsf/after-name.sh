#!/bin/bash
#BSUB -J merge
#BSUB -w "done(split)"
#BSUB -M 100MB -W 5
cat parts/*
