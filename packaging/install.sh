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

# Whatever is used below. What this shell does itself is there, too.
programs='cat cp date dirname grep id ln ls mkdir mv printf readlink rm rmdir sed sleep sort tr uname'
missing=
for program in $programs; do
    command -v "$program" >/dev/null 2>&1 || missing="${missing:+$missing, }$program"
done
[ -z "$missing" ] || fail "not found in PATH: $missing; nothing has changed"

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
# The output of a command loses line breaks at its end, and the name would be another's.
case $prefix in
*'
') fail "the name of PREFIX ends in a line break" 2 ;;
esac
# Takes the links out of the name. An interruption leaves it as it was: folders may have to go.
resolve_prefix() {
    real=$(cd -- "$prefix" && pwd -P) || fail "the folder cannot be read"
    prefix=$real
}

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

# Fails if a folder is there that this script has not made. An empty one may be the rest of a
# removal that was killed.
check_own() {
    if [ -L "$1" ] || { [ -e "$1" ] && ! [ -f "$1/made-by-install.sh" ] && ! rmdir "$1" 2>/dev/null; }; then
        fail "$1 is there already, and is not ours; move it away, or give another --prefix"
    fi
}

# A `cp` that has outlived its install.sh ends when its folder is gone.
remove_all() {
    rm -rf "$1" 2>/dev/null || { sleep 1 && rm -rf "$1"; } || fail "$1 cannot be removed"
}

# Removes a folder that this script has made. The file that says so goes last, and the script before
# it: whenever this is killed, the same command can be run again.
remove_own() {
    if [ -L "$1" ] || ! [ -d "$1" ]; then return; fi
    for file in "$1"/*; do
        case ${file##*/} in
        made-by-install.sh | install.sh) ;;
        *) remove_all "$file" ;;
        esac
    done
    remove_all "$1/install.sh"
    remove_all "$1"
}

# Removes the folders that were made here, where nothing is in them.
remove_made() {
    for folder in $folders .; do
        case " $made " in
        *" !$folder "*) ;;
        *" $folder "*)
            [ -d "$prefix/$folder" ] || continue
            if [ "$folder" = . ]; then rmdir "$prefix"; else rmdir "$prefix/$folder"; fi 2>/dev/null || true
            ;;
        esac
    done
}

# Adds the folders that are noted to the list of those that were made here. An interruption here
# does not lose those that are in the list.
read_made() {
    made="$made $(cat "$own/made-by-install.sh" "$own.new."*/made-by-install.sh 2>/dev/null | tr ' ' '\n' | sort -u | tr '\n' ' ')"
}

# Adds a folder to the list of those that were made here, as soon as there is one.
note() {
    [ -f "$own/made-by-install.sh" ] || return 0
    { printf '%s\n' "$1" >>"$own/made-by-install.sh"; } 2>/dev/null || fail "$own cannot be written"
}

# Makes a folder, and notes that it was not there.
make_folder() {
    [ -d "$prefix/$1" ] && return
    case $1 in
    */*) make_folder "${1%/*}" ;;
    esac
    # Noted before: --uninstall is to find it whenever this ends.
    note "$1"
    if mkdir "$prefix/$1" 2>/dev/null; then
        made="$made $1"
    else
        [ -d "$prefix/$1" ] || fail "$prefix cannot be written; give --prefix FOLDER"
        # Another process has made it in this moment.
        note "!$1"
    fi
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
    # Another process with the same number has another time.
    born=$(date +%s)
    if { read -r stat </proc/self/stat && read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null &&
        [ "${stat%% *}" = "$$" ] && namespace=$(readlink /proc/self/ns/pid); then
        start=$(birth $$)
        [ -z "$start" ] || { born=$start && place=$boot/$namespace/$(id -u); }
    fi
}

# The text of the lock of this process. It has the two folders that can be made before there is a
# place to note them, and that are removed after it: one that takes over the lock knows them then.
sign() {
    owned=
    for folder in . lib; do
        case " $made " in *" $folder "*) owned="$owned $folder" ;; esac
    done
    self="$$ $born $place$owned  $machine"
}

# Whether the owner of a lock has certainly ended. The name of the machine may have changed.
has_ended() {
    case $1 in
    *" unknown "*) return 1 ;;
    *" $place "*) rest=${1#* } && [ "$(birth "${1%% *}")" != "${rest%% *}" ] ;;
    *) return 1 ;;
    esac
}

# in_use LOCK OWNER: another install.sh works here, or did, for all that is known.
in_use() {
    # It may need the folders.
    made=
    case $2 in
    '') fail "another install.sh works in $prefix; if none does, remove $(quoted "$1")" ;;
    *" unknown "*) ;;
    *" $place "*) fail "another install.sh, process ${2%% *}, works in $prefix; run this again when it has ended" ;;
    esac
    fail "another install.sh, process ${2%% *} on ${2##* }, works in $prefix; if it has ended, remove $(quoted "$1")"
}

# Another install.sh would see, and change, half of what this one does. The lock is a symbolic link,
# which comes into being together with its text: the owner. It leads to no file.
lock() {
    sign
    for _ in 1 2 3 4 5; do
        if try_lock; then
            # Claims of others that were killed, or came too late.
            rm -f "$own.lock."*
            check_own "$own"
            check_own "$own.old"
            # One that was ended between two renamings.
            if [ -d "$own.old" ] && ! [ -e "$own" ]; then
                mv "$own.old" "$own" || fail "$own.old cannot be renamed to $own"
            fi
            return
        fi
    done
    fail "$prefix cannot be written; give --prefix FOLDER${reason:+: $reason}"
}

# If an owner has ended, only one process can make the link that has the owner's number and time in
# its name: the claim, which then replaces the lock. If that process has ended, too, there can be a
# claim to its claim. This returns 1 if the folder cannot be written, or the lock has changed.
try_lock() {
    if [ -e "$own.lock" ]; then in_use "$own.lock" ''; fi
    ended=
    claim=$own.lock
    until reason=$(ln -s "$self" "$claim" 2>&1); do
        owner=$(readlink "$claim") || return 1
        # On NFS, `ln` may fail after it has made the link.
        [ "$owner" != "$self" ] || break
        has_ended "$owner" || in_use "$claim" "$owner"
        ended=${ended:-$owner}
        rest=${owner#*" $place "}
        made="$made ${rest% *}"
        sign
        rest=${owner#* }
        claim=$own.lock.${owner%% *}-${rest%% *}
    done
    [ -n "$ended" ] || return 0
    if [ "$(readlink "$own.lock")" = "$ended" ] && reason=$(mv -f "$claim" "$own.lock" 2>&1); then
        echo "install.sh: note: an earlier install.sh in $prefix was ended before it was done; this one goes on" >&2
    else
        rm -f "$claim"
        return 1
    fi
}

unlock() {
    [ -n "$self" ] || return 0
    for link in "$claim" "$own.lock"; do
        if [ "$(readlink "$link")" = "$self" ]; then rm -f "$link" || true; fi
    done
}

# Folders that were made here, and are empty, go again. An earlier version that has been moved away
# comes back, or goes where the new one has its place.
finish() {
    trap '' HUP INT TERM
    [ -z "$new" ] || rm -rf "$new" || true
    if [ -n "$replacing" ] && [ -d "$own.old" ]; then
        if [ -e "$own" ]; then
            (remove_own "$own.old") || true
        else
            mv "$own.old" "$own" || true
        fi
    fi
    unlock
    remove_made
}

# end_with STATUS: a signal may come as the trap for EXIT begins, which does not begin again then.
# So each trap does all of it.
end_with() {
    finish
    exit "$1"
}

self=
claim=
new=
made=
replacing=
# mksh would end with the status of `finish`.
trap 'end_with $?' EXIT
trap 'end_with 129' HUP
trap 'end_with 130' INT
trap 'end_with 143' TERM

identify
if [ -n "$uninstall" ]; then
    [ -d "$prefix" ] || fail "there is no folder $prefix"
    resolve_prefix
    own=$prefix/lib/awsb
    if [ -L "$own" ] || ! [ -e "$own" ] && [ -z "$(ls -d "$own.old" "$own.new."* "$own.lock" 2>/dev/null)" ]; then
        fail "there is no awsb that this script has installed in $prefix"
    fi
    read_made
    lock
    # Nobody could stop it afterwards.
    if "$own/bin/blocal" status >/dev/null 2>&1; then
        fail "the local cluster of this user runs: stop it with \`$(quoted "$own/bin/blocal") stop\` first"
    fi
    read_made
    for folder in $folders; do
        for file in "$prefix/$folder"/* "$prefix/$folder"/.[!.]*; do
            if is_ours "$file"; then rm -f "$file" || fail "$file cannot be removed"; fi
        done
    done
    for folder in "$own.old" "$own.new."*; do remove_own "$folder"; done
    # The list of these is in the folder that goes last.
    remove_made
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
# Another install.sh may make these in the same moment. Then each of them may remove them.
[ -d "$prefix" ] || made=.
[ -d "$prefix/lib" ] || made="$made lib"
mkdir -p "$prefix/lib" || fail "$prefix cannot be written; give --prefix FOLDER"
resolve_prefix
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

lock
each check_free

# The whole tree is there, and runs, before anything that is used changes. The folder is this
# process's: a `cp` that has outlived its install.sh goes on in another.
read_made
new=$own.new.$$-$born
mkdir "$new" || fail "$prefix cannot be written; give --prefix FOLDER"
# cp may say the same for each of many files.
copy() {
    reason=$(cp "$@" "$new/" 2>&1) || fail "$prefix cannot be written, and nothing has changed: ${reason%%
*}"
}
{ printf '%s\n' "$made" >"$new/made-by-install.sh"; } 2>/dev/null || fail "$prefix cannot be written, and nothing has changed"
for folder in "$own.new."*; do
    [ "$folder" = "$new" ] || remove_own "$folder"
done
copy -RP "$here/bin" "$here/share"
copy "$here/install.sh"
for part in README.md LICENSE docs examples; do
    if [ -e "$here/$part" ]; then copy -RP "$here/$part"; fi
done
version=$("$new/bin/awsb" --version) || fail "programs in $prefix do not run: is it mounted with noexec?"
remove_own "$own.old"
replacing=1
if [ -e "$own" ]; then mv "$own" "$own.old" || fail "$own cannot be replaced"; fi
mv "$new" "$own" || fail "$own cannot be replaced; run this again"
new=
remove_own "$own.old"
replacing=

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
