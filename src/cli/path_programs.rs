//! The programs that the names of the tools lead to in PATH.

use std::path::{Path, PathBuf};

/// The folders of PATH.
pub fn folders() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// This program, links resolved.
///
/// # Errors
/// When the system does not say where it is.
pub fn own() -> std::io::Result<PathBuf> {
    std::env::current_exe().and_then(|path| path.canonicalize())
}

/// The first program with this name in PATH.
pub fn first(name: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// The first program with this name in PATH, if it is not awsb's.
pub fn foreign(name: &str) -> Option<PathBuf> {
    first(name).filter(|path| !is_awsb(path))
}

/// Whether a file can be executed.
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether a program belongs to an awsb, this one or another one: it is a link to it, or a small
/// program or a script beside it.
pub fn is_awsb(path: &Path) -> bool {
    let Ok(real) = path.canonicalize() else { return false };
    let is_own = own().is_ok_and(|own| own == real);
    is_own
        || real.file_name().is_some_and(|name| name == "awsb")
        || (has_awsb_beside(&real) && names_awsb(&real))
}

/// Whether a program belongs to this awsb.
pub fn is_ours(path: &Path, own: &Path) -> bool {
    let Ok(real) = path.canonicalize() else { return false };
    // A program of another package that has the same name and lies in the same folder does not name
    // ours.
    real == own || (real.parent() == own.parent() && names_awsb(&real))
}

fn has_awsb_beside(real: &Path) -> bool {
    is_program(&real.with_file_name("awsb"))
}

/// Whether a small program names `awsb` in its bytes. Those of `bin/` and the scripts of the Python
/// package (`packaging/old-name.sh`) execute the file of that name.
///
/// Nothing else tells them from programs of other packages. A program that is not known must not be
/// started, size and folder say nothing, and a section of its own in the file would need `unsafe`.
fn names_awsb(program: &Path) -> bool {
    const MOST: u64 = 16 << 20;
    let is_small = std::fs::metadata(program).is_ok_and(|meta| meta.len() <= MOST);
    let needles: [&[u8]; 2] = [b"looking for the program awsb", b"exec \"$awsb\" "];
    is_small
        && std::fs::read(program).is_ok_and(|bytes| {
            needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == *needle))
        })
}
