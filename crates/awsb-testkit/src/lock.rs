//! Stories that must not run beside each other: a file lock for each thing that only one of them can have.
//!
//! The lock holds between threads, between the test programs, and between two runs of the tests in the same folder, so
//! plain `cargo test` obeys it as every other runner does.

use std::fs::File;

use crate::harness::scratch;

/// Something that only one story can have at a time; it is given back when this is dropped.
#[derive(Debug)]
#[must_use = "the lock is held as long as this lives"]
pub struct Lock(#[allow(dead_code, reason = "closing the file releases the lock")] File);

/// Waits until no other story holds this name, and holds it.
pub fn lock(name: &str) -> Lock {
    let folder = scratch().join("locks");
    std::fs::create_dir_all(&folder).expect("the folder of the locks");
    let file = File::create(folder.join(name)).expect("the file of a lock");
    file.lock().expect("a lock");
    Lock(file)
}
