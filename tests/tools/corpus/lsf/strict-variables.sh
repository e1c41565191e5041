#!/bin/bash
#BSUB -J strict
#BSUB -n 2
#BSUB -M 256MB
#BSUB -W 5
set -euo pipefail
cat <<END
job     $LSB_JOBNAME
index   $LSB_JOBINDEX
slots   $LSB_DJOB_NUMPROC
END
[ -n "$LSB_QUEUE" ] && [ -n "$LSB_JOBID" ] && [ -n "$LSB_SUB_HOST" ] && [ -n "$LS_SUBCWD" ] && echo "and where it comes from"
[ "$LSB_BATCH_JID" = "$LSB_JOBID" ] && echo "one ID"
