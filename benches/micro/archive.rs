//! The archive of a build context: its headers and length, and its hash.

use std::path::PathBuf;

use awsb::stage::{Archive, ArchiveEntry, EntryKind};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

/// Finds the length of an archive of many files. No file is read.
#[divan::bench(args = [10_000])]
fn length(bencher: Bencher<'_, '_>, files: usize) {
    let entries: Vec<(PathBuf, ArchiveEntry)> = (0..files)
        .map(|n| {
            let kind = EntryKind::File { size: 1000, modified: None };
            let name = PathBuf::from(format!("src/package-{}/module_{n}.py", n / 100));
            (name, ArchiveEntry { source: PathBuf::from("/nowhere"), mode: 0o644, kind })
        })
        .collect();
    bencher
        .counter(ItemsCount::new(files))
        .bench(|| Archive::new("the file", entries.clone()).expect("names that fit into headers").length());
}

/// Reads and hashes files of this size, 16 MiB of them.
#[divan::bench(args = [4 << 10, 1 << 20])]
fn sha256(bencher: Bencher<'_, '_>, size: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let entries = (0..(16 << 20) / size)
        .map(|n| {
            let name = PathBuf::from(format!("file-{n}"));
            let source = folder.path().join(&name);
            std::fs::write(&source, vec![b'x'; size]).expect("a file can be written");
            let found = std::fs::metadata(&source).expect("the file is there");
            let kind = EntryKind::File { size: found.len(), modified: found.modified().ok() };
            (name, ArchiveEntry { source, mode: 0o644, kind })
        })
        .collect();
    let archive = Archive::new("the file", entries).expect("names that fit into headers");
    bencher
        .counter(BytesCount::new(archive.length()))
        .bench(|| archive.sha256(|_| {}).expect("the files have not changed"));
}
