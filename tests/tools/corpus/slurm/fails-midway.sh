#!/bin/bash
#SBATCH --job-name=fails
#SBATCH --mem=100M
#SBATCH --time=2
set -euo pipefail
trap 'echo "failed in line $((LINENO > 0))" >&2' ERR
echo "before"
false | cat > /dev/null
echo "never"
