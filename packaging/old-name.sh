#!/bin/sh
# NAME of AWS ParallelCluster is a command of the awsb beside this script.
awsb=$(dirname "$(readlink -f "$0")")/awsb
if ! [ -x "$awsb" ] || [ "$awsb" = /awsb ]; then
    echo "NAME: error: starting awsb: there is no such program beside NAME" >&2
    echo "hint: NAME needs awsb in its own folder: install all of awsb's programs into one folder" >&2
    exit 1
fi
exec "$awsb" NAME "$@"
