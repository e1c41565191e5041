#!/bin/sh
# Installs awsb from the folder of this script, without root:
#
#     ./install.sh [--prefix FOLDER]      (default: ~/.local)
#     ./install.sh --uninstall [--prefix FOLDER]
#
# FOLDER/lib/awsb is awsb's own. Elsewhere in FOLDER there are only links into it: bin, share/man,
# and where shells look for completions. --uninstall removes the links that lead there, and then
# lib/awsb, which has this script, too. Settings, the history of jobs and the local cluster stay,
# and their places are printed.
set -eu
export LC_ALL=C
# zsh would keep a text with spaces as one word.
if [ -n "${ZSH_VERSION:-}" ]; then emulate sh; fi
# With CDPATH, `cd` goes elsewhere and prints where.
unset CDPATH
# Others may use what is installed, whatever is usual for files of this user.
umask 022

fail() {
    echo "install.sh: error: $1" >&2
    exit "${2:-1}"
}

# A path as a shell reads it.
quoted() {
    case $1 in
    *[!A-Za-z0-9_./-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}

# The first folder, or the second where the first is not absolute, as awsb has it.
absolute() {
    case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s' "$2" ;;
    esac
}

here=$(cd -- "$(dirname -- "$0")" && pwd -P) || fail "the folder of this script is not found"
prefix=
uninstall=
while [ $# != 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || fail "--prefix needs a folder" 2
        prefix=$2
        [ -n "$prefix" ] || fail "--prefix needs a folder" 2
        shift
        ;;
    --prefix=?*) prefix=${1#--prefix=} ;;
    --prefix=) fail "--prefix needs a folder" 2 ;;
    --uninstall) uninstall=1 ;;
    -h | --help)
        sed -n '2,10s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) fail "\`$1\` is not an option; --prefix FOLDER and --uninstall are" 2 ;;
    esac
    shift
done
if [ -z "$prefix" ]; then
    case $here in
    # The script that was installed knows where.
    */lib/awsb) prefix=${here%/lib/awsb} ;;
    *)
        # A relative one would be another folder in each folder.
        case ${HOME:-} in
        /*) prefix=$HOME/.local ;;
        *) fail "HOME is not set to an absolute path; give --prefix FOLDER" 2 ;;
        esac
        ;;
    esac
fi
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
# The folders that may have links, the deeper ones first.
folders='share/man/man1 share/man share/bash-completion/completions share/bash-completion share/zsh/site-functions share/zsh
share/fish/vendor_completions.d share/fish share bin lib'

# Whether a link leads into our folder.
is_ours() {
    [ -L "$1" ] || return 1
    case $(readlink "$1") in
    "$own"/*) ;;
    *) return 1 ;;
    esac
}

# Removes a folder with all that is in it, if this script has made it.
remove_own() {
    if [ -L "$1" ] || ! [ -e "$1" ]; then return; fi
    [ -f "$1/made-by-install.sh" ] || fail "$1 is not ours"
    rm -rf "$1" || fail "$1 cannot be removed"
}

# Removes the folders that were made here, where nothing is in them.
remove_made() {
    for folder in $folders .; do
        case " $made " in
        *" $folder "*)
            if [ "$folder" = . ]; then rmdir "$prefix"; else rmdir "$prefix/$folder"; fi 2>/dev/null || true
            ;;
        esac
    done
}

# Makes a folder, and notes that it was not there.
make_folder() {
    [ -d "$prefix/$1" ] && return
    case $1 in
    */*) make_folder "${1%/*}" ;;
    esac
    mkdir "$prefix/$1" 2>/dev/null || [ -d "$prefix/$1" ] || fail "$prefix cannot be written; give --prefix FOLDER"
    made="$made $1"
}

# Another install.sh would see, and change, half of what this one does.
lock() {
    if ! mkdir "$own.lock" 2>/dev/null; then
        if [ -d "$own.lock" ]; then
            fail "another install.sh works in $prefix; if none does, remove $(quoted "$own.lock")"
        fi
        fail "$prefix cannot be written; give --prefix FOLDER"
    fi
    locked=1
}

unlock() {
    [ -z "$locked" ] || rmdir "$own.lock"
    locked=
}

# Folders that were made here, and are empty, go again.
finish() {
    unlock
    remove_made
}

locked=
made=
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$uninstall" ]; then
    [ -d "$prefix" ] || fail "there is no folder $prefix"
    prefix=$(cd -- "$prefix" && pwd -P) || fail "the folder cannot be read"
    own=$prefix/lib/awsb
    if [ -L "$own" ] || ! [ -e "$own" ] && ! [ -e "$own.new" ]; then
        fail "there is no awsb that this script has installed in $prefix"
    fi
    lock
    # Nobody could stop it afterwards.
    if "$own/bin/blocal" status >/dev/null 2>&1; then
        fail "the local cluster of this user runs: stop it with \`$(quoted "$own/bin/blocal") stop\` first"
    fi
    made=$(cat "$own/made-by-install.sh" "$own.new/made-by-install.sh" 2>/dev/null | tr '\n' ' ') || true
    for folder in $folders; do
        for file in "$prefix/$folder"/* "$prefix/$folder"/.[!.]*; do
            if is_ours "$file"; then rm -f "$file" || fail "$file cannot be removed"; fi
        done
    done
    remove_own "$own.old"
    remove_own "$own.new"
    remove_own "$own"
    finish
    echo "awsb is gone from $prefix. These stay, if they are there:"
    case ${HOME:-} in
    /*)
        state=$(absolute "${XDG_STATE_HOME:-}" "$HOME/.local/state")/awsb
        echo "  settings: ${AWSB_CONFIG:-$(absolute "${XDG_CONFIG_HOME:-}" "$HOME/.config")/awsb}"
        echo "  history, and clusters that are being made: $state"
        echo "  local cluster and its jobs: ${AWSB_LOCAL_HOME:-$state/local}"
        echo "  cache: $(absolute "${XDG_CACHE_HOME:-}" "$HOME/.cache")/awsb"
        echo "  completions that \`awsb completions --install\` has made begin with \"# Made by awsb\""
        ;;
    esac
    exit 0
fi

if ! [ -f "$here/bin/awsb" ] || ! [ -d "$here/share" ]; then
    fail "the folder of this script has no bin/awsb: unpack the whole archive"
fi
"$here/bin/awsb" --version >/dev/null ||
    fail "awsb does not run on this machine from $here: is it mounted with noexec, or is this archive for another machine?"
if ! [ -d "$prefix" ]; then
    mkdir -p "$prefix" || fail "$prefix cannot be written; give --prefix FOLDER"
    made=.
fi
prefix=$(cd -- "$prefix" && pwd -P) || fail "the folder cannot be read"
own=$prefix/lib/awsb
[ "$here" != "$own" ] || fail "this is the awsb that is installed: unpack an archive and run its install.sh"

# each COMMAND…: calls it with the name of each file that gets a link.
each() {
    for folder in $folders; do
        for file in "$here/$folder"/*; do
            if [ -f "$file" ]; then "$@" "$folder/${file##*/}"; fi
        done
    done
}

check_free() {
    if { [ -e "$prefix/$1" ] || [ -L "$prefix/$1" ]; } && ! is_ours "$prefix/$1"; then
        if grep -q '^# Made by awsb' "$prefix/$1" 2>/dev/null; then
            fail "$prefix/$1 was made by \`awsb completions --install\`: run \`awsb completions --uninstall\` first"
        fi
        fail "$prefix/$1 is there already, and is not ours; move it away, or give another --prefix"
    fi
}

link() {
    if [ -L "$prefix/$1" ] && [ "$(readlink "$prefix/$1")" = "$own/$1" ]; then return; fi
    make_folder "${1%/*}"
    check_free "$1"
    rm -f "$prefix/$1"
    ln -s "$own/$1" "$prefix/$1" || fail "$prefix/$1 cannot be written; when that is mended, run this again, or with --uninstall"
}

make_folder lib
lock
for place in "$own" "$own.new" "$own.old"; do
    if [ -L "$place" ] || { [ -e "$place" ] && ! [ -f "$place/made-by-install.sh" ]; }; then
        fail "$place is there already, and is not ours; move it away, or give another --prefix"
    fi
done
each check_free

# The whole tree is there, and runs, before anything that is used changes.
remove_own "$own.new"
mkdir "$own.new" || fail "$prefix cannot be written; give --prefix FOLDER"
full() {
    rm -rf "$own.new"
    fail "$1"
}
if ! : >"$own.new/made-by-install.sh" || ! cp -RP "$here/bin" "$own.new/" || ! cp -RP "$here/share" "$own.new/" ||
    ! cp "$here/install.sh" "$own.new/"; then
    full "$prefix cannot be written; nothing has changed"
fi
for part in README.md LICENSE docs examples; do
    if [ -e "$here/$part" ] && ! cp -RP "$here/$part" "$own.new/"; then full "$prefix cannot be written; nothing has changed"; fi
done
version=$("$own.new/bin/awsb" --version) || full "programs in $prefix do not run: is it mounted with noexec?"
{
    [ ! -f "$own/made-by-install.sh" ] || cat "$own/made-by-install.sh"
    printf '%s\n' "$made"
} >"$own.new/made-by-install.sh" || full "$prefix cannot be written; nothing has changed"
remove_own "$own.old"
if [ -e "$own" ]; then mv "$own" "$own.old" || full "$own cannot be replaced"; fi
mv "$own.new" "$own" || fail "$own cannot be replaced; run this again"
remove_own "$own.old"

made=
each link
if [ -n "$made" ]; then printf '%s\n' "$made" >>"$own/made-by-install.sh" || fail "$own cannot be written"; fi
# Links to what an earlier version had.
for folder in $folders; do
    for file in "$prefix/$folder"/*; do
        if is_ours "$file" && ! [ -e "$file" ]; then rm -f "$file"; fi
    done
done
echo "$version is installed in $prefix. To remove it: sh $(quoted "$own/install.sh") --uninstall"
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "Put $prefix/bin into PATH." ;;
esac
