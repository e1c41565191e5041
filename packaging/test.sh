#!/usr/bin/env bash
# Tries the packages in target/packages as a user would:
#
#     packaging/test.sh [wheel|tarball|deb|rpm|symbols]...      (default: all)
#
# Each is installed into a folder of its own, runs a job on the local cluster, shows a manual page
# and completions, and is removed; nothing but settings, history and the local cluster may be left.
# The .deb and the tarball are tried in the oldest and the newest Debian that debootstrap finds
# (SUITES), which needs root and is left out without it.
set -euo pipefail

cd "$(dirname "$0")/.."
packages=$PWD/target/packages
example=$PWD/examples/pi.sh
read -ra suites <<<"${SUITES:-bullseye trixie}"
scratch=$(mktemp -d)
# The local cluster of each test is in its own home.
export HOME=$scratch/home
unset XDG_RUNTIME_DIR AWSB_CONFIG XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME AWS_PROFILE AWSB_CLUSTER
mkdir -p "$HOME"
roots=()

finish() {
    local root
    # bash 3.2, which macOS has, calls an empty array unset.
    for root in ${roots[@]+"${roots[@]}"}; do
        umount --lazy "$root/proc" 2>/dev/null || true
    done
    rm -rf --one-file-system "$scratch"
}
trap finish EXIT

fail() {
    echo "packaging/test.sh: error: $1" >&2
    exit 1
}

# package PATTERN: the one package of this kind.
package() {
    local found
    # shellcheck disable=SC2086  # the pattern is one
    found=$(find "$packages" -maxdepth 1 -name "$1")
    if [ -z "$found" ] || [ "$(wc -l <<<"$found")" != 1 ]; then
        fail "there is not one $1 in $packages: packaging/build.sh makes it"
    fi
    echo "$found"
}

# try_tools FOLDER [COMMAND…]: every name is there, and a job runs. COMMAND runs what follows it.
try_tools() {
    local folder=$1 name output
    shift
    for name in $(cd bin && printf '%s\n' *.rs | sed 's/\.rs$//'); do
        output=$("$@" "$folder/$name" --version) || fail "$folder/$name does not run"
        grep -q "^$name " <<<"$output" || fail "$folder/$name says that it is $output"
    done
    for name in awsbsub awsbstat awsbout awsbkill awsbqueues awsbhosts; do
        "$@" "$folder/$name" --help >/dev/null || fail "$folder/$name does not run"
    done
    output=$("$@" "$folder/bsub" -I "$example" 200000) || fail "the example has failed: $output"
    grep -q '^pi is about 3.1' <<<"$output" || fail "the example printed: $output"
    "$@" "$folder/blocal" stop
}

# try_documents SHARE: a manual page and completions.
try_documents() {
    local share=$1 page
    page=$(find "$share/man/man1" -name 'bsub.1*')
    [ -n "$page" ] || fail "there is no manual page of bsub in $share"
    man "$page" 2>/dev/null | grep -q 'Submit a job' || fail "man cannot show $page"
    page=$(find "$share/man/man1" -name 'awsb-doctor.1*')
    man "$page" 2>/dev/null | grep -q 'awsb-doctor - Check what' || fail "man cannot show awsb-doctor(1) in $share"
    bash -c '. "$1" && complete -p bsub' bash "$share/bash-completion/completions/bsub" >/dev/null ||
        fail "there is no completion of bsub in $share"
}

# nothing_left FOLDER: only what users have made.
nothing_left() {
    local left
    left=$(cd "$1" && find . \( -type f -o -type l \) -not -path './proc/*' | sort)
    [ -z "$left" ] || fail "removing it has left in $1: $left"
}

try_wheel() {
    local venv=$scratch/venv wheel before
    wheel=$(package 'awsb-*.whl')
    # One of `build.sh --dev` is not for others.
    case $wheel in
    *manylinux*) [ "$(stat -c %s "$wheel")" -le 25000000 ] || fail "$wheel is larger than 25 MB" ;;
    esac
    python3 -m venv "$venv"
    before=$(find "$venv" \( -type f -o -type l \) -not -name '*.pyc' | sort)
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$wheel"
    try_tools "$venv/bin"
    "$venv/bin/python" -m awsb stat --version | grep -q '^bstat ' || fail "python -m awsb stat does not work"
    # pipx and uv make links elsewhere.
    mkdir -p "$scratch/links"
    ln -s "$venv/bin/bstat" "$venv/bin/awsbstat" "$scratch/links/"
    "$scratch/links/bstat" --version >/dev/null || fail "a link to bstat does not run"
    "$scratch/links/awsbstat" --help >/dev/null || fail "a link to awsbstat does not run"
    try_documents "$venv/share"
    "$venv/bin/pip" uninstall --quiet --yes awsb
    [ "$before" = "$(find "$venv" \( -type f -o -type l \) -not -name '*.pyc' | sort)" ] ||
        fail "pip uninstall has left something"
    try_old_package "$wheel"
}

# try_old_package WHEEL: with ParallelCluster's own package in the same environment, in both orders.
# pip lets the later package overwrite programs of the same names, and removing either takes them
# along. Whoever does what awsb doctor says has ours afterwards.
try_old_package() {
    local wheel=$1 venv=$scratch/both order requirement
    requirement=$(grep '^aws-parallelcluster-awsbatch-cli==' crates/awsb-testkit/python/requirements.txt)
    for order in ours-last ours-first; do
        python3 -m venv --clear "$venv"
        # What the old package requires brings none of these names.
        if [ "$order" = ours-last ]; then
            in_venv pip install --no-deps "$requirement"
            has_old_names the-old-package
            in_venv pip install --no-index "$wheel"
            has_old_names awsb
            doctor_says 'its removal takes awsb'
            in_venv pip uninstall aws-parallelcluster-awsbatch-cli
            has_old_names nobody
            doctor_says 'missing, though this package brought it'
        else
            in_venv pip install --no-index "$wheel"
            in_venv pip install --no-deps "$requirement"
            has_old_names the-old-package
            doctor_says 'another package has overwritten'
        fi
        follow_doctor
        has_old_names awsb
        doctor_is_content
    done
    # A script that calls the old names goes on as it was.
    in_venv awsbqueues -c local | grep '^jobQueueName' >/dev/null || fail "awsbqueues does not show the local queue"
    in_venv blocal stop
}

# A command with the programs of the environment; pip says little, and asks nothing.
in_venv() {
    PATH=$venv/bin:$PATH PIP_QUIET=1 PIP_YES=1 PIP_DISABLE_PIP_VERSION_CHECK=1 "$@"
}

# has_old_names OWNER: awsbstat and its relatives in the environment are awsb's, the-old-package's
# or nobody's.
has_old_names() {
    local name owner
    for name in awsbsub awsbstat awsbout awsbkill awsbqueues awsbhosts; do
        if [ ! -e "$venv/bin/$name" ]; then
            owner=nobody
        elif grep -q 'from awsbatch' "$venv/bin/$name"; then
            owner=the-old-package
        elif "$venv/bin/$name" --version | grep -q "^$name (awsb) "; then
            owner=awsb
        else
            owner=another
        fi
        [ "$owner" = "$1" ] || fail "$order: $name is $owner's, and not $1's"
    done
}

# The lines about the tools alone: the names of ours, and the old names.
doctor() {
    # The cluster that is not there is an error of another line.
    { in_venv awsb doctor -c nowhere || true; } 2>&1 | sed -n '/ tools  /,/ settings  /p'
}

doctor_says() {
    doctor | grep -qF "$1" || fail "$order: awsb doctor does not say '$1': $(doctor)"
}

doctor_is_content() {
    doctor | grep -q '^ok .* are in PATH$' || fail "$order: awsb doctor says: $(doctor)"
    ! doctor | grep -q '^warning' || fail "$order: awsb doctor says: $(doctor)"
}

# Runs what the hints name, in the folder of the wheel.
follow_doctor() {
    local command commands
    # shellcheck disable=SC2016  # the backticks are in the hints
    commands=$(doctor | grep -o '`pip [^`]*`' | tr -d '`')
    [ -n "$commands" ] || fail "$order: awsb doctor names no way out: $(doctor)"
    while IFS= read -r command; do
        (cd "$packages" && in_venv sh -c "$command" </dev/null)
    done <<<"$commands"
}

try_tarball() {
    local prefix=$scratch/prefix folder
    mkdir "$scratch/tarball"
    tar -xzf "$(package 'awsb-*-linux.tar.gz')" -C "$scratch/tarball"
    folder=$(echo "$scratch"/tarball/*)
    "$folder/install.sh" --prefix "$prefix"
    try_tools "$prefix/bin"
    try_documents "$prefix/share"
    # A second time, over what is there.
    "$folder/install.sh" --prefix "$prefix" >/dev/null
    if ! [ -f "$prefix/lib/awsb/docs/bsub.md" ] || ! [ -f "$prefix/lib/awsb/examples/pi.sh" ]; then
        fail "the pages and the examples are not in $prefix/lib/awsb"
    fi
    "$prefix/lib/awsb/install.sh" --uninstall
    [ ! -e "$prefix" ] || fail "removing it has left $(find "$prefix")"
    # What another has put there stays: before the first installation, and after it.
    mkdir -p "$prefix/bin"
    echo theirs >"$prefix/bin/bsub"
    refuses_theirs "$folder" "$prefix"
    rm "$prefix/bin/bsub"
    "$folder/install.sh" --prefix "$prefix" >/dev/null
    rm "$prefix/bin/bsub"
    echo theirs >"$prefix/bin/bsub"
    refuses_theirs "$folder" "$prefix"
    "$folder/install.sh" --prefix "$prefix" --uninstall >/dev/null
    [ "$(find "$prefix" -type f -o -type l)" = "$prefix/bin/bsub" ] || fail "removing it has left $(find "$prefix")"
    if [ "$(id -u)" = 0 ]; then try_full_disk "$folder"; else try_read_only "$folder"; fi
}

# refuses_theirs FOLDER PREFIX: install.sh leaves another's bsub alone.
refuses_theirs() {
    if "$1/install.sh" --prefix "$2" 2>"$scratch/refused"; then fail "install.sh has replaced another's bsub"; fi
    grep -q 'is not ours' "$scratch/refused" || fail "install.sh says: $(cat "$scratch/refused")"
    [ "$(cat "$2/bin/bsub")" = theirs ] || fail "install.sh has changed another's bsub"
}

# A prefix that cannot be written.
try_read_only() {
    mkdir -m 555 "$scratch/read-only"
    if "$1/install.sh" --prefix "$scratch/read-only/awsb" 2>"$scratch/refused"; then fail "a read-only prefix was no error"; fi
    grep -q 'cannot be written' "$scratch/refused" || fail "install.sh says: $(cat "$scratch/refused")"
}

# A disk that is too small: the error says so, and nothing is left.
try_full_disk() {
    local disk=$scratch/disk
    mkdir "$disk"
    mount -t tmpfs -o size=8m tmpfs "$disk"
    if "$1/install.sh" --prefix "$disk/awsb" 2>"$scratch/refused"; then
        umount "$disk"
        fail "a full disk was no error"
    fi
    (nothing_left "$disk") || { umount "$disk"; fail "a full disk keeps files"; }
    umount "$disk"
    grep -q 'cannot be written' "$scratch/refused" || fail "install.sh says: $(cat "$scratch/refused")"
}

# debian SUITE: a Debian of its own in $root.
debian() {
    local mirror
    # shellcheck disable=SC2016  # the words are apt's
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" { print $2; exit }')
    root=$scratch/$1
    debootstrap --variant=minbase --include=man-db,bash-completion "$1" "$root" "$mirror" >"$scratch/debootstrap.log" 2>&1 ||
        return 1
    mount --bind /proc "$root/proc"
    roots+=("$root")
    mkdir -p "$root/srv/examples"
    cp examples/pi.sh "$root/srv/examples/"
    mkdir "$root/srv/home"
}

inside() {
    chroot "$root" env -i HOME=/srv/home TERM=dumb LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

try_deb() {
    local deb suite example=/srv/examples/pi.sh
    deb=$(package 'awsb_*.deb')
    if command -v lintian >/dev/null; then lintian --fail-on error,warning "$deb"; fi
    if [ "$(id -u)" != 0 ]; then
        echo "packaging/test.sh: the .deb was not installed: that needs root"
        return
    fi
    for suite in "${suites[@]}"; do
        if ! debian "$suite"; then
            echo "packaging/test.sh: $suite was not tried: debootstrap has no such Debian here"
            continue
        fi
        cp "$deb" "$root/srv/awsb.deb"
        inside dpkg -i /srv/awsb.deb
        try_tools /usr/bin inside
        inside sh -c 'man bsub | grep -q "Submit a job"' || fail "man bsub does not work on $suite"
        inside bash -c '. /usr/share/bash-completion/completions/bsub && complete -p bsub' >/dev/null ||
            fail "there is no completion of bsub on $suite"
        inside test -f /usr/share/doc/awsb/docs/bsub.md -a -f /usr/share/doc/awsb/examples/pi.sh ||
            fail "the pages and the examples are not there on $suite"
        inside dpkg --purge awsb >"$scratch/purged"
        grep -q 'settings: ~/.config/awsb' "$scratch/purged" || fail "the removal does not say what stays: $(cat "$scratch/purged")"
        inside sh -c '! ls -d /usr/bin/awsb* /usr/bin/bsub /usr/share/doc/awsb 2>/dev/null' || fail "purging has left something on $suite"
        # The tarball, for a user.
        tar -xzf "$(package 'awsb-*-linux.tar.gz')" -C "$root/srv"
        inside sh -c '/srv/awsb-*/install.sh --prefix /srv/awsb' || fail "install.sh fails on $suite"
        try_tools /srv/awsb/bin inside
        echo "$suite: the .deb and the tarball work"
    done
}

try_rpm() {
    local rpm root=$scratch/rpm options=(--nodeps)
    rpm=$(package 'awsb-*.rpm')
    [ "$(stat -c %s "$rpm")" -le 25000000 ] || fail "$rpm is larger than 25 MB"
    if ! command -v rpm2cpio >/dev/null; then
        echo "packaging/test.sh: the .rpm was not tried: there is no rpm2cpio"
        return
    fi
    mkdir "$root"
    if [ "$(id -u)" = 0 ]; then
        # In a root of its own, which has nothing of what the package requires.
        if rpm --help | grep -e --force-debian >/dev/null; then options+=(--force-debian); fi
        rpm --root "$root" --initdb
        rpm --root "$root" "${options[@]}" --install "$rpm"
        rpm --root "$root" --nodeps --verify awsb
    else
        rpm2cpio "$rpm" | (cd "$root" && cpio -id --quiet)
        echo "packaging/test.sh: the .rpm is unpacked, and not installed: that needs root"
    fi
    try_tools "$root/usr/bin"
    try_documents "$root/usr/share"
    if ! [ -f "$root/usr/share/doc/awsb/docs/bsub.md" ] || ! [ -f "$root/usr/share/doc/awsb/examples/pi.sh" ]; then
        fail "the pages and the examples are not in the .rpm"
    fi
    rpm -qp --requires "$rpm" | grep 'GLIBC' >/dev/null || fail "the .rpm does not say which glibc it needs"
    if [ "$(id -u)" = 0 ]; then
        rpm --root "$root" "${options[@]}" --erase awsb
        nothing_left "$root/usr"
    fi
}

# No symbol is younger than glibc 2.17.
try_symbols() {
    local newest
    mkdir -p "$scratch/symbols"
    tar -xzf "$(package 'awsb-*-linux.tar.gz')" -C "$scratch/symbols"
    newest=$(objdump -T "$scratch"/symbols/*/bin/awsb | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.17 ] || fail "awsb needs $newest"
    echo "the newest symbol of glibc is $newest"
}

if [ $# = 0 ]; then set -- symbols wheel tarball deb rpm; fi
for what in "$@"; do
    case $what in
    symbols | wheel | tarball | deb | rpm) ;;
    *)
        echo "packaging/test.sh: error: \`$what\` is not a package; wheel, tarball, deb, rpm and symbols are" >&2
        exit 2
        ;;
    esac
done
for what in "$@"; do
    echo "==> $what"
    "try_$what"
done
echo "the packages work"
