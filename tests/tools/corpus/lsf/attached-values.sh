#!/bin/bash
#BSUB -Jattached -n2 -W0:20 -M300MB
#BSUB -Plab -usomeone@example.org
echo "$LSB_JOBNAME $LSB_DJOB_NUMPROC"
