#!/usr/bin/env bash
# Makes the packages of this commit, in target/packages:
#
#     packaging/build.sh [--dev] [wheel|tarball|deb|rpm|all]...
#
# On Linux the programs run where glibc is 2.17 or later; on macOS there is the wheel alone. With
# --dev the wheel is made quickly instead: unoptimised, and for this machine. The same commit gives
# the same bytes, on the same kind of machine with the same Rust. The tools are installed where they
# are missing: Python packages into target/packaging, those of crates.io into a cache.
set -euo pipefail

cd "$(dirname "$0")/.."
cargo_deb_version=3.8.0
cargo_generate_rpm_version=0.21.1
cargo_about_version=0.9.3
cache="${XDG_CACHE_HOME:-${HOME:?}/.cache}/awsb-packaging"
work=$PWD/target/packaging
packages=$PWD/target/packages
old_names=(awsbsub awsbstat awsbout awsbkill awsbqueues awsbhosts)
tools=()
for file in bin/*.rs; do
    file=${file#bin/}
    tools+=("${file%.rs}")
done

fail() {
    echo "packaging/build.sh: error: $1" >&2
    exit "${2:-1}"
}

dev=
formats=()
for word in "$@"; do
    case $word in
    --dev) dev=1 ;;
    wheel | tarball | deb | rpm) formats+=("$word") ;;
    all) formats+=(wheel tarball deb rpm) ;;
    *) fail "\`$word\` is not a format; wheel, tarball, deb, rpm and all are" 2 ;;
    esac
done
[ ${#formats[@]} != 0 ] || formats=(wheel tarball deb rpm)
if [ -n "$dev" ] && [ "${formats[*]}" != wheel ]; then fail "--dev makes a wheel only" 2; fi

machine=$(uname -m)
system=$(uname -s)
if [ "$system" = Darwin ] && [ "${formats[*]}" != wheel ]; then fail "on macOS there is the wheel alone" 2; fi
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# The times of all files in packages. C is compiled again when this variable changes, and so is all
# that is above it: a quick wheel does without.
if [ -z "$dev" ]; then export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"; fi
if [ -n "$(git status --porcelain)" ]; then echo "packaging/build.sh: there are changes that are not committed" >&2; fi

# The tools of Python, in an environment of their own.
install_python_tools() {
    venv=$work/venv
    if ! cmp -s packaging/requirements.txt "$venv/requirements.txt"; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement packaging/requirements.txt
        cp packaging/requirements.txt "$venv/"
    fi
    export PATH=$venv/bin:$PATH
}

# install_tool NAME VERSION [OPTION…]: a program of crates.io, once for each version. Little
# optimisation is enough for all but cargo-about, which would compare licences for many minutes
# without any.
install_tool() {
    local root=$cache/$1-$2
    if ! [ -x "$root/bin/$1" ]; then
        echo "building $1 $2 (once)"
        CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo install --quiet --locked --debug --version "$2" --root "$root" \
            --target-dir "$work/tools" "${@:3}" "$1"
    fi
    export PATH=$root/bin:$PATH
}

# Compiles, and names the folder of the programs. maturin does it for all packages: another way to
# call the same compilers would have them compile everything once more.
compile() {
    local target=$machine-unknown-linux-gnu
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/packaging/build}
    if [ -n "$dev" ]; then
        # The programs of a debug build, without their debug information.
        build=(maturin build --profile dev --strip --compatibility linux)
        programs=$CARGO_TARGET_DIR/debug
    else
        # Messages of panics name files. Where these lay is not the same elsewhere.
        export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$PWD=/awsb --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
        if [ "$system" = Darwin ]; then
            build=(maturin build --release)
            programs=$CARGO_TARGET_DIR/release
        else
            # Its scripts name the environment of Python that they were made in.
            export CARGO_ZIGBUILD_CACHE_DIR=$work/zig
            build=(maturin build --release --zig --compatibility manylinux2014 --target "$target")
            programs=$CARGO_TARGET_DIR/$target/release
        fi
    fi
    # This wheel has no documents yet: the programs write them.
    rm -rf "$work/awsb.data"
    mkdir -p "$work/awsb.data"
    "${build[@]}" --out "$work/first"
}

# Everything but the programs: manual pages, completions, licences.
write_documents() {
    local tool share=$work/share
    rm -rf "$share"
    mkdir -p "$share/doc/awsb"
    packaging/documents.sh "$programs" "$share"
    cp LICENSE "$share/doc/awsb/"
    if [ -z "$dev" ]; then
        # It needs the sources for all systems, and asks nobody else.
        cargo fetch --locked --quiet
        cargo about generate --locked --offline --fail --config packaging/about.toml packaging/about.hbs >"$share/doc/awsb/LICENSES-OF-DEPENDENCIES"
    fi
    # The names of the tools of ParallelCluster, for formats that have no links.
    scripts=$work/scripts
    rm -rf "$scripts"
    mkdir -p "$scripts"
    for tool in "${old_names[@]}"; do
        sed "s/NAME/$tool/g" packaging/old-name.sh >"$scripts/$tool"
        chmod 755 "$scripts/$tool"
    done
}

# A tree with everything in its place below `$1`, with links for the names of the tools.
write_tree() {
    local root=$1 tool
    rm -rf "$root"
    mkdir -p "$root/bin"
    install -m 755 "$programs/awsb" "$root/bin/awsb"
    for tool in "${tools[@]}" "${old_names[@]}"; do
        [ "$tool" = awsb ] || ln -s awsb "$root/bin/$tool"
    done
    cp -r "$work/share" "$root/share"
    gzip -9n "$root"/share/man/man1/*.1
}

make_wheel() {
    rm -rf "$work/awsb.data"
    mkdir -p "$work/awsb.data/data"
    cp -r "$work/share" "$work/awsb.data/data/share"
    cp -r "$scripts" "$work/awsb.data/scripts"
    "${build[@]}" --out "$packages"
}

make_tarball() {
    local name=awsb-$version-$machine-linux
    write_tree "$work/$name"
    cp packaging/install.sh README.md LICENSE "$work/$name/"
    # The pages and the scripts that the README names.
    cp -r docs examples "$work/$name/"
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar \
        -C "$work" -c "$name" | gzip -9n >"$packages/$name.tar.gz"
}

write_debian_changelog() {
    echo "awsb ($version-1) unstable; urgency=medium"
    echo
    echo "  * Package of this version. changelog.gz has what is new in it."
    echo
    echo " -- $(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

make_deb() {
    install_tool cargo-deb "$cargo_deb_version"
    write_tree "$work/tree"
    cp -r docs examples "$work/tree/share/doc/awsb/"
    # The folder that Debian's zsh reads for packages.
    mv "$work/tree/share/zsh/site-functions" "$work/tree/share/zsh/vendor-completions"
    rm "$work/tree/share/doc/awsb/LICENSE"
    gzip -9n <CHANGELOG.md >"$work/tree/share/doc/awsb/changelog.gz"
    mkdir -p "$work/tree/share/lintian/overrides"
    cp packaging/lintian-overrides "$work/tree/share/lintian/overrides/awsb"
    write_debian_changelog | gzip -9n >"$work/tree/share/doc/awsb/changelog.Debian.gz"
    cargo deb --no-build --no-strip --locked --target "$machine-unknown-linux-gnu" --output "$packages/"
}

make_rpm() {
    local tool
    install_tool cargo-generate-rpm "$cargo_generate_rpm_version"
    write_tree "$work/tree"
    cp -r docs examples "$work/tree/share/doc/awsb/"
    # cargo-generate-rpm follows links, and would pack the one program under each name.
    find "$work/tree/bin" -type l -delete
    for tool in "${tools[@]}"; do
        install -m 755 "$programs/$tool" "$work/tree/bin/$tool"
    done
    cp "$scripts"/* "$work/tree/bin/"
    cargo generate-rpm --target "$machine-unknown-linux-gnu" --output "$packages/"
}

mkdir -p "$work" "$packages"
install_python_tools
if [ -z "$dev" ]; then install_tool cargo-about "$cargo_about_version" --features cli; fi
compile
write_documents
for format in "${formats[@]}"; do "make_$format"; done
if command -v sha256sum >/dev/null; then sums=(sha256sum); else sums=(shasum -a 256); fi
(cd "$packages" && "${sums[@]}" -- awsb[-_]* >SHA256SUMS)
ls -l "$packages"
