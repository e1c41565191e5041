#!/bin/bash
#BSUB -J tools
#BSUB -q "short normal"
#BSUB -n 2
#BSUB -M 2GB
#BSUB -W 15
source "$(conda info --base)/etc/profile.d/conda.sh"
conda activate tools
singularity exec --bind /scratch image.sif echo "in $CONDA_DEFAULT_ENV with $LSB_DJOB_NUMPROC threads"
