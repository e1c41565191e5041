//! Stories that must not run beside each other: a file lock for each thing that only one of them
//! can have.
//!
//! The lock holds between threads, between the test programs, and between two runs of the tests in
//! the same folder, so plain `cargo test` obeys it as every other runner does.

use std::fs::File;

use crate::harness::scratch;

/// Something that only one story can have at a time; it is given back when this is dropped.
#[derive(Debug)]
#[must_use = "the lock is held as long as this lives"]
pub struct Lock(#[allow(dead_code, reason = "closing the file releases the lock")] File);

/// Waits until no other story holds this name, and holds it.
pub fn lock(name: &str) -> Lock {
    let file = file(name);
    file.lock().expect("a lock");
    Lock(file)
}

/// The right to have a network on the Docker engine: an engine has about thirty to give, and a
/// story with multi-node jobs needs some of them. Waits while as many stories as the engine can
/// serve have theirs.
pub fn engine_network() -> Lock {
    const STORIES: u32 = 8;
    let files: Vec<File> = (0..STORIES).map(|n| file(&format!("engine-network-{n}"))).collect();
    let free = files.iter().position(|file| file.try_lock().is_ok());
    // Any of them will do; those that wait are spread over all.
    let mut files = files;
    let position = free.unwrap_or(std::process::id() as usize % files.len());
    let file = files.swap_remove(position);
    if free.is_none() {
        file.lock().expect("a lock");
    }
    Lock(file)
}

fn file(name: &str) -> File {
    let folder = scratch().join("locks");
    std::fs::create_dir_all(&folder).expect("the folder of the locks");
    File::create(folder.join(name)).expect("the file of a lock")
}
