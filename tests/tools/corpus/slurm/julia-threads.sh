#!/bin/bash
#SBATCH -c 4 -t 15 --mem-per-cpu=1G -J julia
export JULIA_NUM_THREADS=$SLURM_CPUS_PER_TASK
julia --project=. -t "$JULIA_NUM_THREADS" solve.jl $(( SLURM_CPUS_PER_TASK * SLURM_MEM_PER_CPU ))
