#!/bin/bash
#SBATCH --mem=300M
#SBATCH --time=5
#SBATCH -J limits
ulimit -s unlimited 2>/dev/null || ulimit -s "$(ulimit -H -s)"
ulimit -c 0
echo "core files: $(ulimit -c)"
[ "$(ulimit -n)" -ge 256 ] && echo "enough files"
