#!/bin/sh
# NAME of AWS ParallelCluster is a command of the awsb beside this script.
exec "$(dirname "$(readlink -f "$0")")/awsb" NAME "$@"
