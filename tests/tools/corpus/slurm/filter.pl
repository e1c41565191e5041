#!/usr/bin/perl
#SBATCH --job-name=filter
#SBATCH --mem=400M
#SBATCH -t 3
use strict;
use warnings;
my $name = $ENV{SLURM_JOB_NAME};
my @kept = grep { $_ % 3 == 0 } 1 .. 10;
print "$name: @kept\n";
