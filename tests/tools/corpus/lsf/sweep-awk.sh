#!/bin/bash
#BSUB -J "sweep[1-4]"
#BSUB -M 100MB -W 10
cat > table.csv <<'CSV'
id,alpha,beta
1,0.1,10
2,0.2,20
3,0.4,40
4,0.8,80
CSV
eval "$(awk -F, -v id="$LSB_JOBINDEX" '$1 == id { printf "alpha=%s beta=%s", $2, $3 }' table.csv)"
echo "$LSB_JOBNAME" | grep -q '^sweep' && echo "task $LSB_JOBINDEX: alpha $alpha, beta $beta"
