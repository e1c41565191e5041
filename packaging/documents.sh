#!/usr/bin/env bash
# Writes what the programs say of themselves into a folder, where packages have it:
#
#     packaging/documents.sh PROGRAMS SHARE
#
# PROGRAMS is the folder with the programs. SHARE gets man/man1, and completions for bash, zsh and
# fish where these find those of packages.
set -euo pipefail

programs=$1 share=$2
old_names=(awsbsub awsbstat awsbout awsbkill awsbqueues awsbhosts)
commands=(doctor prune completions)
sources=$(cd "$(dirname "$0")/../bin" && pwd)

mkdir -p "$share"/{man/man1,fish}
for file in "$sources"/*.rs; do
    tool=$(basename "$file" .rs)
    "$programs/$tool" --man >"$share/man/man1/$tool.1"
done
for command in "${commands[@]}"; do
    "$programs/awsb" "$command" --man >"$share/man/man1/awsb-$command.1"
done
for name in "${old_names[@]}"; do
    "$programs/awsb" "$name" --man >"$share/man/man1/$name.1"
done
# The program installs completions for all names, into the folders of a user who has no other.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
for shell in bash zsh fish; do
    env -i HOME="$home" PATH=/usr/bin:/bin XDG_DATA_HOME="$share" XDG_CONFIG_HOME="$home" \
        "$programs/awsb" completions --install --shell "$shell" 2>/dev/null
done
rm -rf "$share/fish/vendor_completions.d"
mv "$home/fish/completions" "$share/fish/vendor_completions.d"
