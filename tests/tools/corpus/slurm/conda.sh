#!/bin/bash
#SBATCH --job-name=conda
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=0-0:30
#SBATCH --export=ALL

source "$(conda info --base)/etc/profile.d/conda.sh"
conda activate analysis
echo "environment $CONDA_DEFAULT_ENV"
python - <<'PY'
import json
print(json.dumps({"rows": 3, "ok": True}))
PY
conda deactivate
