//! Whose folder the local cluster takes, and that it removes nothing there that it has not named itself.

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
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{tool} {arguments:?}: {said}");
            let path = folder.path().display().to_string();
            assert!(said.contains(&path) && said.contains("such as logs"), "{tool} {arguments:?}: {said}");
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
    // What a crash leaves has names of ours. A link, or a folder, with such a name is not content.
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
    let said = String::from_utf8_lossy(&reset.stderr).into_owned();
    assert!(reset.status.success() && said.contains("objects/thesis.tex"), "{said}");
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
