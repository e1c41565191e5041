#!/bin/bash
#SBATCH --job-name=align            # what squeue shows
#SBATCH --account=genomics
#SBATCH --partition=short,long
#SBATCH --array=1-3
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=0-04:00
#SBATCH --output=logs/%x_%A_%a.out
#SBATCH --error=logs/%x_%A_%a.err
#SBATCH --mail-type=END,FAIL
#SBATCH --mail-user=someone@example.org

set -euo pipefail
module purge
module load bwa/0.7.17 samtools/1.17

cd "$(mktemp -d)"
cat > samples.tsv <<'TABLE'
NA12878	mother	ACGT
NA12891	father	GGCA
NA12892	child	TTAC
TABLE
IFS=$'\t' read -r sample role read <<< "$(sed -n "${SLURM_ARRAY_TASK_ID}p" samples.tsv)"
echo "$read" > "$sample.fq"
echo ">chr20" > ref.fa
bwa index ref.fa
bwa mem -t "$SLURM_CPUS_PER_TASK" -R "@RG\tID:$sample" ref.fa "$sample.fq" \
    | samtools sort -@ "$SLURM_CPUS_PER_TASK" -o "$sample.bam" -
samtools index "$sample.bam"
echo "$role $sample: $(samtools view -c "$sample.bam") reads with $SLURM_CPUS_PER_TASK threads"
