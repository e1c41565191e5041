#!/bin/bash
#BSUB -J "align[1-3]"
#BSUB -q normal
#BSUB -n 4
#BSUB -R "span[hosts=1] rusage[mem=8000]"
#BSUB -M 8GB
#BSUB -W 4:00
#BSUB -o logs/align.%J.%I.out
#BSUB -e logs/align.%J.%I.err
#BSUB -P genomics -N

set -euo pipefail
module load bwa samtools
samples=(NA12878 NA12891 NA12892)
sample=${samples[LSB_JOBINDEX - 1]}
echo ACGT > "$sample.fq"
bwa mem -t "$LSB_DJOB_NUMPROC" ref.fa "$sample.fq" | samtools sort -o "$sample.bam" -
echo "$sample: $(samtools view -c "$sample.bam") reads with $LSB_DJOB_NUMPROC threads"
