#!/bin/bash
#BSUB -J spectra
#BSUB -n 2 -R "span[hosts=1]"
#BSUB -Lp matlab
#BSUB -M 4GB -W 3:00
matlab -batch "n = $LSB_DJOB_NUMPROC; spectra(n)"
