#!/bin/bash
#SBATCH -J md
#SBATCH -N 1
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=2
#SBATCH -t 1-00:00:00
#SBATCH --mem-per-cpu=900M
#SBATCH --hint=nomultithread

export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
if [ -e state.cpt ]; then restart="-cpi state.cpt -append"; else restart=""; fi
gmx grompp -f md.mdp -c em.gro -p topol.top -o md.tpr
gmx mdrun -deffnm md -ntmpi $SLURM_NTASKS_PER_NODE -ntomp $OMP_NUM_THREADS -maxh 23.5 $restart
echo "$SLURM_NTASKS tasks on $SLURM_NNODES node"
