#!/bin/sh
# Installs awsb from the folder of this script, without root:
#
#     ./install.sh [--prefix FOLDER]      (default: ~/.local)
#     ./install.sh --uninstall [--prefix FOLDER]
#
# A list of the installed files is kept in PREFIX/share/awsb; --uninstall removes those, and nothing
# else: settings, the history of jobs and the local cluster stay, and their places are printed.
set -eu
export LC_ALL=C

fail() {
    echo "install.sh: error: $1" >&2
    exit "${2:-1}"
}

prefix=${HOME:-}/.local
uninstall=
while [ $# != 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || fail "--prefix needs a folder" 2
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --uninstall) uninstall=1 ;;
    -h | --help)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) fail "\`$1\` is not an option; --prefix FOLDER and --uninstall are" 2 ;;
    esac
    shift
done
case $prefix in
/.local | '') fail "HOME is not set; give --prefix FOLDER" 2 ;;
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
list=$prefix/share/awsb/files

# Removes what a list names, and the folders that are empty then.
remove() {
    while IFS= read -r file; do
        rm -f "$prefix/$file" || fail "$prefix/$file cannot be removed"
    done <"$1"
    sed 's,/[^/]*$,,' "$1" | sort -ru | while IFS= read -r folder; do
        while [ -n "$folder" ] && rmdir "$prefix/$folder" 2>/dev/null; do
            case $folder in
            */*) folder=${folder%/*} ;;
            *) folder= ;;
            esac
        done
    done
}

if [ -n "$uninstall" ]; then
    [ -f "$list" ] || fail "there is no awsb that this script has installed in $prefix"
    copy=$(mktemp)
    cat "$list" >"$copy"
    echo share/awsb/files >>"$copy"
    remove "$copy"
    rm -f "$copy"
    echo "awsb is gone from $prefix. These stay, if they are there:"
    echo "  settings: ${XDG_CONFIG_HOME:-$HOME/.config}/awsb"
    echo "  history and clusters that are being made: ${XDG_STATE_HOME:-$HOME/.local/state}/awsb"
    echo "  local cluster and its jobs: ${XDG_DATA_HOME:-$HOME/.local/share}/awsb"
    echo "  cache: ${XDG_CACHE_HOME:-$HOME/.cache}/awsb"
    exit 0
fi

here=$(cd "$(dirname "$0")" && pwd)
[ -x "$here/bin/awsb" ] || fail "the folder of this script has no bin/awsb: unpack the whole archive"
"$here/bin/awsb" --version >/dev/null || fail "awsb does not run on this machine"
mkdir -p "$prefix/share/awsb" || fail "$prefix cannot be written; give --prefix FOLDER"
# No name in the archive has a space.
files=$(cd "$here" && find bin share \( -type f -o -type l \) | sort)
# A file that is there and that no awsb has put there belongs to somebody else.
for file in $files; do
    if { [ -e "$prefix/$file" ] || [ -L "$prefix/$file" ]; } && ! grep -qxF "$file" "$list" 2>/dev/null; then
        fail "$prefix/$file is there already, and is not ours; give another --prefix"
    fi
done
# The list comes first: what an installation has begun can be removed. Names of an earlier version
# stay in it until they are gone.
new=$prefix/share/awsb/files.new
if ! { [ ! -f "$list" ] || cat "$list"; printf '%s\n' "$files"; } | sort -u >"$new" || ! mv -f "$new" "$list"; then
    fail "$prefix cannot be written"
fi
for file in $files; do
    mkdir -p "$prefix/${file%/*}" || fail "$prefix cannot be written"
    # Beside its place first: a program that runs is not changed, a full disk leaves the old one.
    if ! cp -P "$here/$file" "$prefix/$file.new" || ! mv -f "$prefix/$file.new" "$prefix/$file"; then
        rm -f "$prefix/$file.new"
        fail "$prefix/$file cannot be written; when that is mended, run this again, or with --uninstall"
    fi
done
# What an earlier version had, and this one has not.
old=$prefix/share/awsb/files.old
printf '%s\n' "$files" | comm -23 "$list" - >"$old"
remove "$old"
rm -f "$old"
printf '%s\n' "$files" >"$new"
mv -f "$new" "$list"
echo "$("$prefix/bin/awsb" --version) is installed in $prefix."
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "Put $prefix/bin into PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
