# Short names for what CONTRIBUTING.md describes: `just` lists them. Nothing here is needed to build, test or release.

_list:
    @just --list --unsorted

# Everything that has to hold before a change lands
ci:
    .ci/run

# Tests of one test program: tools, local, images or live; more words choose modules and stories
test program="tools" *filter:
    cargo test --test {{ program }} {{ filter }}

# Tests beside the code
unit *filter:
    cargo test --workspace --lib {{ filter }}

# What a change is told first: formatting, clippy, documentation
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

# Writes new snapshots; look at each change with `git diff` before you commit it
bless program="tools" *filter:
    INSTA_UPDATE=always cargo test --test {{ program }} {{ filter }}

# Fuzzes one target, or all, for so many seconds each
fuzz seconds="20" target="":
    fuzz/run {{ seconds }} {{ target }}

# One of the scripts in benches/, such as `just bench compare`
bench name:
    benches/{{ name }}.sh

# The micro-benchmarks; more words choose some of them
micro *filter:
    cargo bench --bench micro -- {{ filter }}
