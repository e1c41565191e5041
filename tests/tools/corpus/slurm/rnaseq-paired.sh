#!/bin/bash
#SBATCH --job-name=rnaseq
#SBATCH --ntasks=1
#SBATCH --nodes=1
#SBATCH --cpus-per-task=6
#SBATCH --mem=32000
#SBATCH --time=23:59:59
#SBATCH --constraint="skylake|icelake"
#SBATCH --output=%x-%j.out

mkdir -p fastq quant
for s in ctrl_1 ctrl_2 heat_1; do touch fastq/${s}_R1.fastq.gz fastq/${s}_R2.fastq.gz; done

for r1 in fastq/*_R1.fastq.gz; do
    r2=${r1/_R1/_R2}
    sample=$(basename "$r1" _R1.fastq.gz)
    [[ -f $r2 ]] || { echo "no mate of $r1" >&2; exit 1; }
    salmon quant -i index -l A -1 "$r1" -2 "$r2" -p "${SLURM_CPUS_PER_TASK:-1}" -o "quant/$sample"
done
echo "quantified $(ls fastq | wc -l | tr -d ' ') files"
