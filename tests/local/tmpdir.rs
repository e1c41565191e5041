//! The environment of a host job: a short TMPDIR, and our tools.

use std::path::{Path, PathBuf};
use std::time::Duration;

use awsb_testkit::{Sandbox, eventually, program, program_built, story};

const MINUTE: Duration = Duration::from_secs(60);

/// A sandbox whose local cluster is in a folder with a long name.
fn far_down() -> (Sandbox, PathBuf) {
    let mut sandbox = Sandbox::new();
    let home = sandbox.work().join("a".repeat(60)).join("b".repeat(60)).join("home");
    std::fs::create_dir_all(home.parent().expect("a folder")).expect("folders");
    sandbox.set("AWSB_LOCAL_HOME", home.display().to_string());
    (sandbox, home)
}

/// The link of a job that has printed its TMPDIR as its first line.
fn is_short(tmpdir: &str) -> PathBuf {
    // 103 bytes on macOS, less the slash and 32 more.
    assert!(tmpdir.len() <= 103 - 33, "{tmpdir}");
    assert!(tmpdir.starts_with("/tmp/awsb-"), "{tmpdir}");
    PathBuf::from(tmpdir)
}

fn is_there(link: &Path) -> bool {
    std::fs::symlink_metadata(link).is_ok()
}

#[story]
fn sockets_can_be_made_in_tmpdir_whatever_the_home_is() {
    program("python3");
    let (sandbox, _) = far_down();
    sandbox.file(
        "manager.py",
        "#!/usr/bin/env python3\n\
         import multiprocessing, os, socket\n\
         if __name__ == '__main__':\n\
         \x20   print(os.environ['TMPDIR'])\n\
         \x20   assert os.getcwd().startswith(os.path.realpath(os.environ['TMPDIR']))\n\
         \x20   with socket.socket(socket.AF_UNIX) as s:\n\
         \x20       s.bind(os.environ['TMPDIR'] + '/' + 's' * 32)\n\
         \x20   with multiprocessing.Manager() as manager:\n\
         \x20       shared = manager.dict(done=1)\n\
         \x20       print(shared['done'], os.listdir(os.environ['TMPDIR']) != [])\n",
    );
    let outcome = sandbox.run("bsub", ["-I", "manager.py"]).ok();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.get(1), Some(&"1 True"), "{outcome}");
    let link = is_short(lines[0]);
    eventually("the link is gone", MINUTE, || (!is_there(&link)).then_some(()));
    sandbox.run("blocal", ["stop"]).ok();
}

#[story]
fn a_link_whose_runner_was_killed_goes_with_the_next_start() {
    let (sandbox, home) = far_down();
    let mut running = sandbox.start("bsub", ["-I", "--wrap", "echo $TMPDIR; echo $PPID; sleep 1000"]);
    let link = is_short(&running.line().unwrap_or_default());
    let runner = running.line().unwrap_or_default();
    assert!(is_there(&link));
    let server = std::fs::read_to_string(home.join("server.lock")).expect("the server's process");
    for pid in [server.trim(), &runner] {
        sandbox.run("kill", ["-KILL", pid]).ok();
    }
    drop(running);
    eventually("the server is gone", MINUTE, || {
        (sandbox.run("blocal", ["status"]).code() == 1).then_some(())
    });
    sandbox.run("blocal", ["start"]).ok();
    eventually("the link is gone", MINUTE, || (!is_there(&link)).then_some(()));
    sandbox.run("blocal", ["stop"]).ok();
}

#[story]
fn a_job_finds_the_tools() {
    let sandbox = Sandbox::new();
    let script =
        "command -v bsub; bsub --parsable -K -J inner true >&2 && bstat -s ALL --no-header -o jobName,status";
    let outcome = sandbox.run("bsub", ["-I", "--wrap", script]).ok();
    let mut lines = outcome.stdout.lines();
    assert_eq!(lines.next(), Some(program_built("bsub").as_str()), "{outcome}");
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["inner", "SUCCEEDED"]), "{outcome}");
}
