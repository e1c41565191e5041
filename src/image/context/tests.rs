use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::stage::tree;

fn gather(folder: &tempfile::TempDir) -> Context {
    Context::gather(folder.path(), None).unwrap()
}

fn names(context: &Context) -> Vec<String> {
    context.archive.entries().iter().map(|(name, _)| name.display().to_string()).collect()
}

fn bytes(context: &Context) -> Vec<u8> {
    let mut bytes = Vec::new();
    context.tar().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The message for a folder that cannot be built, with `F` for the folder.
fn message(folder: &tempfile::TempDir, below: &str, dockerfile: Option<&str>) -> String {
    let dir = folder.path().join(below);
    let named = dockerfile.map(|name| dir.join(name));
    let failure = Context::gather(&dir, named.as_deref()).unwrap_err();
    assert_eq!(failure.exit(), crate::ui::Exit::Usage);
    let real = folder.path().canonicalize().unwrap().display().to_string();
    let lines: Vec<String> = std::iter::once(failure.message().to_owned())
        .chain(failure.hints().iter().map(|h| format!("  {h}")))
        .collect();
    lines.join("\n").replace(&real, "F").replace(&folder.path().display().to_string(), "F")
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let (one, two) = (tree(&["Dockerfile", "b/c", "b.x", "a"]), tree(&["a", "b.x", "Dockerfile", "b/c"]));
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::open(two.path().join("a")).unwrap().set_modified(long_ago).unwrap();
    let (one, two) = (gather(&one), gather(&two));
    assert_eq!(names(&one), ["Dockerfile", "a", "b", "b/c", "b.x"]);
    assert!(bytes(&one) == bytes(&two));
    assert_eq!(one.sha256(), two.sha256());
    assert_eq!(one.size(), bytes(&one).len() as u64);
}

#[test]
fn all_kinds_of_files_arrive_as_they_are() {
    let folder = tree(&["Dockerfile", "a", "d/e"]);
    let at = |name: &str| folder.path().join(name);
    fs::set_permissions(at("a"), PermissionsExt::from_mode(0o4751)).unwrap();
    fs::set_permissions(at("d"), PermissionsExt::from_mode(0o1770)).unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::hard_link(at("a"), at("z")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let far = format!("./d//{}", "e/".repeat(100));
    symlink(&far, at("far")).unwrap();
    symlink("../../etc//x/", at("d/out")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\n"));
    fs::write(&odd, "odd").unwrap();
    let mut archive = tar::Archive::new(gather(&folder).tar());
    let mut kinds = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let link = entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned());
        let header = entry.header();
        kinds.push(format!(
            "{} {:?} {:o} {}",
            String::from_utf8_lossy(&entry.path_bytes()).escape_debug(),
            header.entry_type(),
            header.mode().unwrap(),
            link.unwrap_or_default().replace(&far, "FAR")
        ));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
    }
    assert_eq!(
        kinds,
        [
            "Dockerfile Regular 644 ",
            "a Regular 4751 ",
            "d Directory 1770 ",
            "d/e Regular 644 ",
            "d/out Symlink 777 ../../etc//x/",
            "dangling Symlink 777 nowhere",
            "empty Directory 755 ",
            "far Symlink 777 FAR",
            "pipe Fifo 700 ",
            "z Link 4751 a",
            "\u{fffd}\\n Regular 644 ",
        ]
    );
    let remark = gather(&folder).remark().unwrap();
    assert!(remark.starts_with("the symbolic link d/out leads out of the build context"), "{remark}");
}

#[test]
fn what_the_builder_needs_always_goes_along() {
    let folder = tree(&["sub/Dockerfile", "sub/other", "x"]);
    fs::write(folder.path().join(".dockerignore"), "**\n").unwrap();
    let dockerfile = folder.path().join("sub/Dockerfile");
    let context = Context::gather(folder.path(), Some(&dockerfile)).unwrap();
    assert_eq!(
        (names(&context), context.dockerfile()),
        (vec![".dockerignore".into(), "sub".into(), "sub/Dockerfile".into()], "sub/Dockerfile")
    );
    // The path may also be relative to the folder.
    let context = Context::gather(folder.path(), Some(Path::new("sub/Dockerfile"))).unwrap();
    assert_eq!(context.dockerfile(), "sub/Dockerfile");
    // An ignore file beside the Dockerfile replaces the other one.
    fs::write(folder.path().join("sub/Dockerfile.dockerignore"), "x").unwrap();
    let context = Context::gather(folder.path(), Some(&dockerfile)).unwrap();
    assert_eq!(
        names(&context),
        [".dockerignore", "sub", "sub/Dockerfile", "sub/Dockerfile.dockerignore", "sub/other"]
    );
}

#[test]
fn a_dockerfile_may_be_a_link_within_the_folder() {
    let folder = tree(&["real/D"]);
    symlink("real/D", folder.path().join("dockerfile")).unwrap();
    let context = gather(&folder);
    assert_eq!(
        (context.dockerfile(), names(&context)),
        ("real/D", vec!["dockerfile".into(), "real".into(), "real/D".into()])
    );
}

#[test]
fn what_cannot_be_built_is_named() {
    let folder = tree(&[
        "none/Containerfile",
        "out/x",
        "Dockerfile",
        "bad/Dockerfile",
        "typo/Dokerfile",
        "file",
        "linked/Dockerfile",
        "e/x",
    ]);
    symlink("../Dockerfile", folder.path().join("out/Dockerfile")).unwrap();
    symlink("nowhere", folder.path().join("out/dangling")).unwrap();
    symlink("../file", folder.path().join("linked/.dockerignore")).unwrap();
    fs::write(folder.path().join("bad/.dockerignore"), "*.o\n[z-a]\n").unwrap();
    fs::write(folder.path().join("e/Dockerfile"), "").unwrap();
    let messages = [
        ("gone", None),
        ("file", None),
        ("none", None),
        ("typo", None),
        ("out/", Some("none")),
        ("out", None),
        ("out", Some("../Dockerfile")),
        ("out", Some("dangling")),
        ("e", None),
        ("none", Some(".")),
        ("bad", None),
        ("linked", None),
    ]
    .map(|(below, dockerfile)| message(&folder, below, dockerfile));
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn what_is_too_large_names_the_largest() {
    let folder = tree(&["Dockerfile"]);
    for (name, gib) in [("a", 1), ("b", 9), ("c", 4), ("d", 3), ("e", 2), ("f", 7)] {
        fs::File::create(folder.path().join(name)).unwrap().set_len(gib << 30).unwrap();
    }
    insta::assert_snapshot!(message(&folder, "", None));
    fs::write(folder.path().join(".dockerignore"), "[bf]\n").unwrap();
    assert_eq!(gather(&folder).size() >> 30, 10);
}

#[test]
fn of_two_dockerfiles_of_one_name_it_is_the_one_in_the_folder() {
    // The tests run in the folder of the package, which has a file of this name, too.
    let folder = tree(&["Cargo.toml"]);
    let context = Context::gather(folder.path(), Some(std::path::Path::new("Cargo.toml"))).unwrap();
    assert_eq!(context.dockerfile(), "Cargo.toml");
    let alone = tree(&["Dockerfile"]);
    let failure = Context::gather(alone.path(), Some(std::path::Path::new("Cargo.toml"))).unwrap_err();
    assert!(failure.message().contains("Cargo.toml is outside of the folder"), "{failure}");
}

#[test]
fn a_file_that_changes_is_named() {
    let folder = tree(&["Dockerfile", "data"]);
    let context = gather(&folder);
    fs::write(folder.path().join("data"), "other").unwrap();
    let failure = context.sha256().unwrap_err();
    let data = folder.path().canonicalize().unwrap().join("data");
    assert_eq!(
        failure.message(),
        format!("reading the build context's {}: it has changed while it was read", data.display())
    );
}
