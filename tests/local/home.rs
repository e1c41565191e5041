//! Whose folder the local cluster takes, and that it removes nothing there that it has not named
//! itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use awsb_testkit::local::{Cluster, sh};
use awsb_testkit::{program_built, story};

/// Every path under a folder, and what is in each file.
fn everything(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let is_folder = entry.file_type().unwrap().is_dir();
            found.insert(entry.path().display().to_string(), fs::read(entry.path()).ok());
            if is_folder {
                folders.push(entry.path());
            }
        }
    }
    found
}

#[story]
fn a_folder_that_holds_other_files_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("objects/thesis.tex", "thesis"),
        ("logs/r.txt", "results"),
        ("scratch/sub/d2", "data"),
        ("runners/x", ""),
    ] {
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        fs::write(folder.path().join(path), text).unwrap();
    }
    for mode in [0o700, 0o755] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let before = everything(folder.path());
        let runs: [(&str, &[&str]); 6] = [
            ("blocal", &["start"]),
            ("blocal", &["serve"]),
            ("blocal", &["env"]),
            ("blocal", &["reset", "--yes"]),
            ("bsub", &["-c", "local", "--wrap", "true"]),
            ("bstat", &["-c", "local"]),
        ];
        for (tool, arguments) in runs {
            let refused = Command::new(program_built(tool))
                .args(arguments)
                .env("AWSB_LOCAL_HOME", folder.path())
                .output()
                .unwrap();
            let message = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{tool} {arguments:?}: {message}");
            let path = folder.path().display().to_string();
            assert!(
                message.contains(&path) && message.contains("such as logs"),
                "{tool} {arguments:?}: {message}"
            );
            assert_eq!(everything(folder.path()), before, "{tool} {arguments:?}");
            assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, mode);
        }
    }
}

#[story]
async fn what_others_have_put_into_a_home_stays() {
    const ID: &str = "0123456789abcdef0123456789abcdef";
    let cluster = Cluster::started();
    let job = cluster.batch().run(sh("echo kept > result; mkdir deep; echo done")).await;
    assert_eq!(cluster.batch().output(&job).await, ["done"]);
    cluster.ok(&["stop"]);
    let at = |path: &str| cluster.home().join(path);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join(ID), "behind a link").unwrap();
    let others = ["objects/thesis.tex", "logs/r.txt", "scratch/sub/d2", "runners/notes", "thesis.tex"];
    fs::create_dir_all(at("scratch/sub")).unwrap();
    others.iter().for_each(|path| fs::write(at(path), path).unwrap());
    // Files that a crash leaves have names of ours. A link, or a folder, with such a name is not
    // content.
    fs::write(at(&format!("objects/{ID}")), "left by a crash").unwrap();
    fs::create_dir_all(at(&format!("scratch/{ID}/deep"))).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), at(&format!("scratch/{ID}/deep/link"))).unwrap();
    fs::create_dir(at(&format!("objects/{}", ID.replace('0', "f")))).unwrap();
    cluster.ok(&["start"]);
    cluster.ok(&["stop"]);
    assert!(!at(&format!("objects/{ID}")).exists());
    assert!(!at(&format!("scratch/{ID}")).exists());
    let stays = || {
        for path in others {
            assert_eq!(fs::read_to_string(at(path)).unwrap(), path);
        }
        assert!(at(&format!("objects/{}", ID.replace('0', "f"))).exists());
        assert_eq!(fs::read_to_string(elsewhere.path().join(ID)).unwrap(), "behind a link");
    };
    stays();
    let reset = cluster.run(&["reset", "--yes"]);
    let message = String::from_utf8_lossy(&reset.stderr).into_owned();
    assert!(reset.status.success() && message.contains("objects/thesis.tex"), "{message}");
    stays();
    assert!(!at("batch.db").exists());
    cluster.ok(&["start"]);
    stays();
}

/// Earlier versions marked nothing.
#[story]
async fn a_home_of_an_earlier_version_is_taken() {
    let cluster = Cluster::started();
    let job = cluster.batch().run(sh("echo before")).await;
    cluster.ok(&["stop"]);
    fs::write(cluster.home().join("start.lock"), "").unwrap();
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    assert_eq!(batch.output(&batch.describe(job.job_id().unwrap()).await).await, ["before"]);
    assert!(fs::read_to_string(cluster.home().join("start.lock")).unwrap().contains("awsb"));
    cluster.ok(&["stop"]);
    fs::write(cluster.home().join("start.lock"), "").unwrap();
    cluster.ok(&["reset", "--yes"]);
    assert!(!cluster.home().join("batch.db").exists());
}

/// The files that a home has, or may have.
const FILES: [&str; 16] = [
    "reserve",
    "probe",
    "server.log",
    "server.log.1",
    "server.log.new",
    "server.lock",
    "start.lock",
    "server.sock",
    "settings.json",
    "endpoint.json",
    "containers.json",
    "batch.db",
    "batch.db-wal",
    "batch.db-commits",
    "objects.db",
    "logs.db",
];

fn remove(path: &Path) {
    let removed =
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    assert!(removed.is_ok() || !path.exists(), "{path:?}: {removed:?}");
}

#[story]
fn a_link_in_place_of_a_file_of_the_home_is_refused_and_not_followed() {
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let notes = elsewhere.path().join("notes");
    for name in FILES {
        let place = cluster.home().join(name);
        let before = fs::read(&place).ok();
        // To a file of somebody's, and to one that is not there yet.
        for target in [notes.clone(), elsewhere.path().join("new")] {
            fs::write(&notes, "precious").unwrap();
            remove(&place);
            std::os::unix::fs::symlink(&target, &place).unwrap();
            for command in ["start", "serve"] {
                let refused = cluster.run(&[command]);
                let message = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert_eq!(refused.status.code(), Some(1), "{name}: {command}: {message}");
                let path = place.display().to_string();
                assert!(
                    message.contains(&format!("{path} is a symbolic link")),
                    "{name}: {command}: {message}"
                );
            }
            assert_eq!(fs::read_to_string(&notes).unwrap(), "precious", "{name}");
            assert!(!elsewhere.path().join("new").exists(), "{name}");
        }
        fs::remove_file(&place).unwrap();
        if let Some(before) = before {
            fs::write(&place, before).unwrap();
        }
    }
    cluster.ok(&["start"]);
    // A reset removes the links, and not what they lead to.
    cluster.ok(&["stop"]);
    for name in FILES.into_iter().filter(|name| *name != "start.lock") {
        remove(&cluster.home().join(name));
        std::os::unix::fs::symlink(&notes, cluster.home().join(name)).unwrap();
    }
    cluster.ok(&["reset", "--yes"]);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "precious");
    cluster.ok(&["start"]);
}

/// A file that has another name elsewhere, as after `cp -al` or `ln`, is written to under both.
#[story]
fn a_hard_link_in_place_of_a_file_of_the_home_is_refused_and_not_written_to() {
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    let notes = cluster.home().parent().unwrap().join("notes");
    let more = ["batch.db-shm", "runners/batch.db-commits"];
    for name in FILES.iter().chain(&more) {
        let place = cluster.home().join(name);
        let before = fs::read(&place).ok();
        fs::write(&notes, "precious").unwrap();
        remove(&place);
        fs::hard_link(&notes, &place).unwrap();
        for command in ["start", "serve"] {
            let refused = cluster.run(&[command]);
            let message = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{name}: {command}: {message}");
            let path = place.display().to_string();
            assert!(message.contains(&path) && message.contains("hard link"), "{name}: {command}: {message}");
        }
        assert_eq!(fs::read_to_string(&notes).unwrap(), "precious", "{name}");
        fs::remove_file(&place).unwrap();
        fs::remove_file(&notes).unwrap();
        if let Some(before) = before {
            fs::write(&place, before).unwrap();
        }
    }
    cluster.ok(&["start"]);
    cluster.ok(&["stop"]);
    fs::write(&notes, "precious").unwrap();
    for name in FILES.iter().chain(&more).filter(|name| **name != "start.lock") {
        remove(&cluster.home().join(name));
        fs::hard_link(&notes, cluster.home().join(name)).unwrap();
    }
    cluster.ok(&["reset", "--yes"]);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "precious");
    cluster.ok(&["start"]);
}

#[story]
fn a_reset_of_a_link_that_leads_nowhere_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("home");
    std::os::unix::fs::symlink(folder.path().join("gone"), &link).unwrap();
    let reset = Command::new(program_built("blocal"))
        .args(["reset", "--yes"])
        .env("AWSB_LOCAL_HOME", &link)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&reset.stderr).into_owned();
    assert_eq!(reset.status.code(), Some(1), "{reset:?}");
    assert!(message.contains(&link.display().to_string()) && message.contains("does not exist"), "{message}");
}

/// A process that opens a FIFO waits for its other end.
#[story]
fn a_fifo_in_place_of_a_file_is_named_and_nothing_waits_for_it() {
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    for name in FILES {
        let place = cluster.home().join(name);
        let fifo = || {
            remove(&place);
            nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRWXU).unwrap();
        };
        fifo();
        for (tool, arguments) in [("blocal", &["start"][..]), ("bsub", &["--wrap", "true"][..])] {
            let run = Command::new(program_built(tool))
                .args(arguments)
                .env("AWSB_LOCAL_HOME", cluster.home())
                .env("AWSB_CLUSTER", "local")
                .output()
                .unwrap();
            let message = String::from_utf8_lossy(&run.stderr).into_owned();
            assert_eq!(run.status.code(), Some(1), "{name}: {tool}: {message}");
            assert!(
                message.contains(&format!("{} is not a file", place.display())),
                "{name}: {tool}: {message}"
            );
        }
        cluster.ok(&["reset", "--yes"]);
        assert!(!fs::symlink_metadata(&place).is_ok_and(|meta| !meta.is_file()), "{name}");
        cluster.ok(&["start"]);
        cluster.ok(&["stop"]);
    }
}

#[story]
fn a_folder_in_place_of_a_file_is_named_and_keeps_nothing_from_a_reset() {
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    for name in FILES {
        for (inner, is_empty) in [("", true), ("thesis.tex", false)] {
            let place = cluster.home().join(name);
            remove(&place);
            fs::create_dir(&place).unwrap();
            if !is_empty {
                fs::write(place.join(inner), "precious").unwrap();
            }
            let refused = cluster.run(&["start"]);
            let message = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{name}: {message}");
            assert!(message.contains(&format!("{} is a folder", place.display())), "{name}: {message}");
            let reset = cluster.run(&["reset", "--yes"]);
            assert!(reset.status.success(), "{name}: {reset:?}");
            // Files of other owners stay.
            assert_eq!(place.is_dir(), !is_empty, "{name}: {reset:?}");
            if !is_empty {
                fs::remove_dir_all(&place).unwrap();
            }
            cluster.ok(&["start"]);
            cluster.ok(&["stop"]);
        }
    }
    // A file in place of a folder is in the way as well.
    for name in ["runners", "scratch", "logs", "objects"] {
        let place = cluster.home().join(name);
        remove(&place);
        fs::write(&place, "x").unwrap();
        let refused = cluster.run(&["start"]);
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(message.contains(&format!("{} is not a folder", place.display())), "{name}: {message}");
        cluster.ok(&["reset", "--yes"]);
        cluster.ok(&["start"]);
        cluster.ok(&["stop"]);
    }
}
