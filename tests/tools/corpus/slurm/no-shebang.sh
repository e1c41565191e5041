#SBATCH --time=10 --mem=100M
echo "it does not come to this: Slurm takes no script without #!"
