#!/bin/bash
#BSUB -J comsol
#BSUB -n 4
#BSUB -R span[hosts=1]
#BSUB -M 6GB
#BSUB -W 8:00
#BSUB -cwd /tmp
cat > "${TMPDIR:-/tmp}/params.$$" <<PARAMS
L 10[mm]
n $LSB_DJOB_NUMPROC
PARAMS
comsol batch -np $LSB_DJOB_NUMPROC -inputfile cell.mph
grep '^n' "${TMPDIR:-/tmp}/params.$$" && rm "${TMPDIR:-/tmp}/params.$$"
