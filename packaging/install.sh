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
    # A `cp` that has outlived its install.sh ends when its folder is gone.
    rm -rf "$1" 2>/dev/null || { sleep 1 && rm -rf "$1"; } || fail "$1 cannot be removed"
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
    # Noted before: --uninstall is to find it whenever this ends.
    if [ -f "$own/made-by-install.sh" ]; then printf '%s\n' "$1" >>"$own/made-by-install.sh" || fail "$own cannot be written"; fi
    mkdir "$prefix/$1" 2>/dev/null || [ -d "$prefix/$1" ] || fail "$prefix cannot be written; give --prefix FOLDER"
    made="$made $1"
}

# birth PID: when this process started, in ticks since Linux did; nothing, if it has ended.
birth() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    # The name of the program is in parentheses, and may have some of its own. Only numbers follow.
    # shellcheck disable=SC2086
    set -- ${stat##*)}
    case ${1:-Z} in
    Z | X) ;;
    *) printf '%s' "${20:-}" ;;
    esac
}

# This process, as another one of this user on this Linux can find it again. The process IDs of
# another namespace, such as a container's, are not its own, and it may be unable to see those of
# other users. Where there is no such /proc, the place is unknown.
identify() {
    machine=$(uname -n)
    place=unknown
    born=unknown
    if { read -r stat </proc/self/stat && read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null &&
        [ "${stat%% *}" = "$$" ] && namespace=$(readlink /proc/self/ns/pid); then
        born=$(birth $$)
        [ -z "$born" ] || place=$boot/$namespace/$(id -u)
    fi
    self="$$ ${born:-unknown} $place $machine"
}

# Whether the owner of a lock has certainly ended.
has_ended() {
    rest=${1#* }
    [ "$place" != unknown ] && [ "${rest#* }" = "$place $machine" ] && [ "$(birth "${1%% *}")" != "${rest%% *}" ]
}

# in_use LOCK OWNER: another install.sh works here, or did, for all that is known.
in_use() {
    case $2 in
    '') fail "another install.sh works in $prefix; if none does, remove $(quoted "$1")" ;;
    *" unknown "*) ;;
    *" $place $machine") fail "another install.sh, process ${2%% *}, works in $prefix; run this again when it has ended" ;;
    esac
    fail "another install.sh, process ${2%% *} on ${2##* }, works in $prefix; if it has ended, remove $(quoted "$1")"
}

make_lock() {
    ln -s "$self" "$own.lock" 2>/dev/null && locked=1
}

# Another install.sh would see, and change, half of what this one does. The lock is a symbolic link,
# which comes into being together with its text: the owner. It leads to no file.
lock() {
    identify
    # In a folder, there would be room for a link.
    if [ -d "$own.lock" ]; then in_use "$own.lock" ''; fi
    if ! make_lock; then
        owner=$(readlink "$own.lock" 2>/dev/null) || owner=
        if [ -n "$owner" ]; then
            has_ended "$owner" || in_use "$own.lock" "$owner"
            take_over
        else
            # It may have been removed in this moment, and another one be the next.
            make_lock || { [ -L "$own.lock" ] && in_use "$own.lock" "$(readlink "$own.lock")"; } ||
                fail "$prefix cannot be written; give --prefix FOLDER"
        fi
    fi
    # One that was ended between two renamings.
    if [ -f "$own.old/made-by-install.sh" ] && ! [ -e "$own" ]; then
        mv "$own.old" "$own" || fail "$own.old cannot be renamed to $own"
    fi
}

# Only the one that makes the folder removes the lock of an owner that has ended, after another
# look: a faster one may have done all this already.
take_over() {
    mkdir "$own.lock.over" 2>/dev/null || in_use "$own.lock.over" ''
    taking_over=1
    if [ "$(readlink "$own.lock")" = "$owner" ]; then rm -f "$own.lock"; fi
    make_lock || in_use "$own.lock" "$(readlink "$own.lock")"
    rmdir "$own.lock.over"
    taking_over=
    echo "install.sh: note: an earlier install.sh in $prefix was ended before it was done; this one goes on" >&2
}

unlock() {
    [ -z "$taking_over" ] || rmdir "$own.lock.over"
    taking_over=
    [ -z "$locked" ] || rm -f "$own.lock"
    locked=
}

# Folders that were made here, and are empty, go again.
finish() {
    unlock
    remove_made
}

locked=
taking_over=
made=
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$uninstall" ]; then
    [ -d "$prefix" ] || fail "there is no folder $prefix"
    prefix=$(cd -- "$prefix" && pwd -P) || fail "the folder cannot be read"
    own=$prefix/lib/awsb
    if [ -L "$own" ] || ! [ -e "$own" ] && [ -z "$(ls -d "$own.old" "$own.new."* 2>/dev/null)" ]; then
        fail "there is no awsb that this script has installed in $prefix"
    fi
    lock
    # Nobody could stop it afterwards.
    if "$own/bin/blocal" status >/dev/null 2>&1; then
        fail "the local cluster of this user runs: stop it with \`$(quoted "$own/bin/blocal") stop\` first"
    fi
    made=$(cat "$own/made-by-install.sh" "$own.new."*/made-by-install.sh 2>/dev/null | tr '\n' ' ') || true
    for folder in $folders; do
        for file in "$prefix/$folder"/* "$prefix/$folder"/.[!.]*; do
            if is_ours "$file"; then rm -f "$file" || fail "$file cannot be removed"; fi
        done
    done
    for place in "$own.old" "$own.new."*; do remove_own "$place"; done
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
for place in "$own" "$own.old" "$own.new."*; do
    if [ -L "$place" ] || { [ -e "$place" ] && ! [ -f "$place/made-by-install.sh" ]; }; then
        fail "$place is there already, and is not ours; move it away, or give another --prefix"
    fi
done
each check_free

# The whole tree is there, and runs, before anything that is used changes. The folder is this
# process's: a `cp` that has outlived its install.sh goes on in another.
made=$({ echo "$made" && cat "$own.new."*/made-by-install.sh; } 2>/dev/null | tr '\n' ' ') || true
for place in "$own.new."*; do remove_own "$place"; done
new=$own.new.$$
mkdir "$new" || fail "$prefix cannot be written; give --prefix FOLDER"
full() {
    rm -rf "$new"
    fail "$1"
}
note_made() {
    { cat "$own/made-by-install.sh" 2>/dev/null || true; printf '%s\n' "$made"; } >"$new/made-by-install.sh"
}
# cp may say the same for each of many files.
copy() {
    said=$(cp "$@" "$new/" 2>&1) || full "$prefix cannot be written, and nothing has changed: ${said%%
*}"
}
note_made || full "$prefix cannot be written, and nothing has changed"
copy -RP "$here/bin" "$here/share"
copy "$here/install.sh"
for part in README.md LICENSE docs examples; do
    if [ -e "$here/$part" ]; then copy -RP "$here/$part"; fi
done
version=$("$new/bin/awsb" --version) || full "programs in $prefix do not run: is it mounted with noexec?"
remove_own "$own.old"
if [ -e "$own" ]; then mv "$own" "$own.old" || full "$own cannot be replaced"; fi
mv "$new" "$own" || fail "$own cannot be replaced; run this again"
remove_own "$own.old"

made=
each link
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
