#!/bin/bash
#SBATCH -n 1 # one task
#SBATCH -t 00:20:00
#SBATCH --mem 2G
#SBATCH -J trim-count
#SBATCH --comment="run 7: adapters of kit B"

log() { printf '[%s] %s\n' "$SLURM_JOB_NAME" "$*"; }
run() { log "+ $*"; "$@"; }

log "start"
run trimmomatic PE in_1.fq in_2.fq out_1.fq out_2.fq ILLUMINACLIP:kitB.fa:2:30:10
printf 'geneA 5\ngeneB 7\ngeneA 2\n' | awk '{ n[$1] += $2 } END { for (g in n) print g, n[g] }' | sort > counts.txt
while read -r gene n; do log "$gene: $n"; done < counts.txt
log "done"
