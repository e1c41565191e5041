#!/bin/bash
#SBATCH --job-name=blast
#SBATCH --array=0-4:2
#SBATCH --cpus-per-task=2
#SBATCH --mem=4GB
#SBATCH --time=06:00:00

# A large FASTA, split into numbered chunks; each task takes one of them.
cd "$(mktemp -d "${TMPDIR:-/tmp}/blast.XXXXXX")"
awk 'BEGIN { for (i = 0; i < 6; i++) printf ">seq%d\nACGTACGT\n", i }' > all.fa
awk '/^>/ { file = sprintf("chunk_%03d.fa", n++) } { print > file }' all.fa
chunk=$(printf 'chunk_%03d.fa' "$SLURM_ARRAY_TASK_ID")
blastn -query "$chunk" -db nt -num_threads $SLURM_CPUS_PER_TASK -outfmt 6 -evalue 1e-5 -out "${chunk%.fa}.tsv"
grep -c '>' "$chunk"
