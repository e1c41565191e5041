#!/usr/bin/env bash
#SBATCH -J call_variants
#SBATCH -p long
#SBATCH -a 20-22
#SBATCH -c 2
#SBATCH --mem-per-cpu=2000
#SBATCH -t 2-12
#SBATCH -o call_%A_%a.log

set -eu
chrom="chr${SLURM_ARRAY_TASK_ID}"
last="chr$SLURM_ARRAY_TASK_MAX"
heap=$(( SLURM_MEM_PER_CPU * SLURM_CPUS_PER_TASK * 9 / 10 ))
ml gatk
gatk --java-options "-Xmx${heap}m" HaplotypeCaller -L "$chrom" -O "$chrom.g.vcf.gz"
if [ "$chrom" = "$last" ]; then
    echo "$chrom is the last of $SLURM_ARRAY_TASK_COUNT"
fi
