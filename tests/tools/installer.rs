//! `install.sh` of the tar.gz, with programs that only say their version.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use awsb_testkit::shells::executable;
use awsb_testkit::{Outcome, Sandbox, SmallDisk, story};

/// An unpacked archive in the working folder. Where KILLED_AT is part of its path, its program
/// kills the script that installs it into `prefix`.
fn archive(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.work().join("awsb-0.1.0");
    let program = r#"#!/bin/sh
case ${KILLED_AT:-} in ?*)
    case $0 in *"$KILLED_AT"*) kill -9 "$(readlink prefix/lib/awsb.lock | cut -d' ' -f1)" ;; esac ;;
esac
[ "$1" = --version ] && echo "awsb 0.1.0"
"#;
    sandbox.file("awsb-0.1.0/bin/awsb", "");
    executable(&folder.join("bin/awsb"), program).expect("a program");
    for name in ["bsub", "blocal"] {
        symlink("awsb", folder.join("bin").join(name)).expect("a link");
    }
    for name in [
        "share/man/man1/bsub.1.gz",
        "share/bash-completion/completions/bsub",
        "README.md",
        "docs/bsub.md",
        "examples/pi.sh",
    ] {
        sandbox.file(&format!("awsb-0.1.0/{name}"), name);
    }
    executable(&folder.join("install.sh"), include_str!("../../packaging/install.sh")).expect("a script");
    folder
}

/// Runs a line of a shell in the working folder.
fn sh(sandbox: &Sandbox, line: &str) -> Outcome {
    sandbox.run("sh", ["-c", line])
}

/// The files and folders below a folder.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        if entry.file_type().expect("a type").is_dir() {
            found.extend(all_below(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

#[story]
fn others_may_use_what_is_installed_whatever_the_umask_is() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let prefix = sandbox.work().join("prefix");
    let outcome = sh(&sandbox, "umask 077; awsb-0.1.0/install.sh --prefix prefix").ok();
    let installed = format!("awsb 0.1.0 is installed in {}. To remove it: ", prefix.display());
    assert!(outcome.stdout.starts_with(&installed), "{outcome}");
    for path in all_below(&prefix) {
        let mode = std::fs::metadata(&path).expect("no link without a target").permissions().mode();
        assert_eq!(mode & 0o044, 0o044, "{}: {mode:o}", path.display());
        assert!(!path.is_dir() || mode & 0o011 == 0o011, "{}: {mode:o}", path.display());
    }
    assert_eq!(sh(&sandbox, "prefix/bin/bsub --version").ok().stdout, "awsb 0.1.0\n");
    let page = std::fs::read_to_string(prefix.join("lib/awsb/docs/bsub.md")).expect("a page");
    assert_eq!(page, "docs/bsub.md");
    let outcome = sh(&sandbox, "umask 077; prefix/lib/awsb/install.sh --uninstall").ok();
    assert!(outcome.stdout.contains("\n  settings: ") && outcome.stdout.contains("\n  history"), "{outcome}");
    assert!(!prefix.exists());
}

/// `cd` goes to a folder of CDPATH, and prints where that is.
#[story]
fn cdpath_leads_nowhere_else() {
    let sandbox = Sandbox::new();
    let archive = archive(&sandbox);
    let decoy = sandbox.work().join("decoy");
    std::fs::create_dir_all(decoy.join("awsb-0.1.0/bin")).expect("a folder");
    std::fs::create_dir_all(decoy.join("prefix")).expect("a folder");
    let export = format!("CDPATH={}; export CDPATH;", decoy.display());
    let outcome = sh(&sandbox, &format!("{export} sh awsb-0.1.0/install.sh --prefix prefix")).ok();
    assert_eq!(outcome.stderr, "", "{outcome}");
    let own = sandbox.work().join("prefix/lib/awsb");
    assert!(own.join("bin/awsb").exists(), "{outcome}");
    assert_eq!(
        std::fs::read_link(sandbox.work().join("prefix/bin/bsub")).expect("a link"),
        own.join("bin/bsub")
    );
    assert_eq!(all_below(&decoy.join("prefix")), Vec::<PathBuf>::new());
    sh(&sandbox, &format!("{export} sh prefix/lib/awsb/install.sh --uninstall --prefix prefix")).ok();
    assert!(!sandbox.work().join("prefix").exists());
    assert!(archive.join("bin/awsb").exists());
}

#[story]
fn a_disk_without_programs_is_named_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    let archive = archive(&sandbox);
    let disk = SmallDisk::new("noexec,size=8m");
    let prefix = disk.path().join("prefix");
    let outcome = sh(&sandbox, &format!("awsb-0.1.0/install.sh --prefix {}", prefix.display())).ended_with(1);
    let canonical = disk.path().canonicalize().expect("a folder").join("prefix");
    let says = format!(
        "install.sh: error: programs in {} do not run: is it mounted with noexec?\n",
        canonical.display()
    );
    assert!(outcome.stderr.ends_with(&says), "{outcome}");
    assert_eq!(all_below(disk.path()), Vec::<PathBuf>::new());
    // The archive itself is there.
    let copy = format!("cp -R {} {}", archive.display(), disk.path().display());
    sh(&sandbox, &copy).ok();
    let line = format!("sh {}/awsb-0.1.0/install.sh --prefix prefix", disk.path().display());
    let outcome = sh(&sandbox, &line).ended_with(1);
    assert!(outcome.stderr.contains("is it mounted with noexec"), "{outcome}");
    assert!(!sandbox.work().join("prefix").exists());
}

/// `cp` says the same for each file.
#[story]
fn a_full_disk_is_one_error_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let disk = SmallDisk::new("size=1m");
    let line = format!(
        "head -c 1048576 /dev/zero >>awsb-0.1.0/share/man/man1/bsub.1.gz; awsb-0.1.0/install.sh --prefix {}/prefix",
        disk.path().display()
    );
    let stderr = sh(&sandbox, &line).ended_with(1).stderr;
    assert!(stderr.starts_with("install.sh: error: ") && stderr.contains(" cannot be written"), "{stderr}");
    assert!(
        stderr.contains("nothing has changed: cp: ") && stderr.ends_with(": No space left on device\n"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(all_below(disk.path()), Vec::<PathBuf>::new());
    // There is no place for the list of folders.
    disk.fill();
    let stderr = sh(&sandbox, &line).ended_with(1).stderr;
    assert!(stderr.ends_with(" cannot be written, and nothing has changed\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!disk.path().join("prefix").exists());
}

#[story]
fn a_relative_home_is_no_place_to_install_into() {
    let mut sandbox = Sandbox::new();
    archive(&sandbox);
    sandbox.set("HOME", "relative");
    let outcome = sh(&sandbox, "awsb-0.1.0/install.sh").ended_with(2);
    assert_eq!(
        outcome.stderr,
        "install.sh: error: HOME is not set to an absolute path; give --prefix FOLDER\n"
    );
    assert!(!sandbox.work().join("relative").exists());
}

#[story]
fn two_at_once_do_not_mix() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let lock = sandbox.work().join("my prefix/lib/awsb.lock");
    std::fs::create_dir_all(&lock).expect("a folder");
    let line = "sh awsb-0.1.0/install.sh --prefix 'my prefix'";
    let outcome = sh(&sandbox, line).ended_with(1);
    assert_eq!(
        outcome.stderr,
        format!(
            "install.sh: error: another install.sh works in {}; if none does, remove '{}'\n",
            sandbox.work().join("my prefix").display(),
            lock.display()
        )
    );
    std::fs::remove_dir(&lock).expect("a folder");
    // The command that is printed removes it.
    let outcome = sh(&sandbox, line).ok();
    let (_, command) = outcome.stdout.split_once("To remove it: ").expect("a command");
    let command = command.lines().next().unwrap_or_default();
    let outcome = sh(&sandbox, &format!("XDG_STATE_HOME=relative {command}")).ok();
    assert!(!outcome.stdout.contains("relative"), "{outcome}");
    assert!(!lock.with_file_name("awsb").exists(), "{outcome}");
}

/// The lock of an `install.sh` that was killed: its text.
#[cfg(target_os = "linux")]
fn killed(sandbox: &Sandbox, shell: &str) -> String {
    let line =
        format!("KILLED_AT=/lib/awsb.new. {shell} awsb-0.1.0/install.sh --prefix prefix; echo ended with $?");
    let outcome = sh(sandbox, &line).ok();
    assert_eq!(outcome.stdout, "ended with 137\n", "{shell}: {outcome}");
    let lock = std::fs::read_link(sandbox.work().join("prefix/lib/awsb.lock")).expect("a lock");
    lock.to_str().expect("text").to_owned()
}

#[cfg(target_os = "linux")]
#[story]
fn after_one_that_was_killed_the_next_goes_on() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let prefix = sandbox.work().join("prefix");
    let note = format!(
        "install.sh: note: an earlier install.sh in {} was ended before it was done; this one goes on\n",
        prefix.display()
    );
    for shell in awsb_testkit::shells::shells() {
        let shell = shell.join(" ");
        killed(&sandbox, &shell);
        let outcome = sh(&sandbox, &format!("{shell} awsb-0.1.0/install.sh --prefix prefix")).ok();
        assert_eq!(outcome.stderr, note, "{shell}: {outcome}");
        assert_eq!(sh(&sandbox, "prefix/bin/bsub --version").ok().stdout, "awsb 0.1.0\n");
        // The earlier version is used until the new one is complete.
        killed(&sandbox, &shell);
        assert_eq!(sh(&sandbox, "prefix/bin/bsub --version").ok().stdout, "awsb 0.1.0\n");
        let outcome = sh(&sandbox, &format!("{shell} prefix/lib/awsb/install.sh --uninstall")).ok();
        assert_eq!(outcome.stderr, note, "{shell}: {outcome}");
        assert!(!prefix.exists(), "{shell}: {:?}", all_below(&prefix));
        // The first one has not got far.
        killed(&sandbox, &shell);
        sh(&sandbox, &format!("{shell} awsb-0.1.0/install.sh --uninstall --prefix prefix")).ok();
        assert!(!prefix.exists(), "{shell}: {:?}", all_below(&prefix));
    }
}

#[cfg(target_os = "linux")]
#[story]
fn a_lock_is_taken_over_only_if_its_owner_has_certainly_ended() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let text = killed(&sandbox, "sh");
    let prefix = sandbox.work().join("prefix");
    let lock = prefix.join("lib/awsb.lock");
    let install = |text: &str| {
        let _ = std::fs::remove_file(&lock);
        symlink(text, &lock).expect("a lock");
        sh(&sandbox, "awsb-0.1.0/install.sh --prefix prefix")
    };
    let [_, _, place, .., machine] = text.split(' ').collect::<Vec<_>>()[..] else {
        unreachable!("the text of a lock: {text}");
    };
    // This process works.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a process");
    let start: u64 =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse().ok()).expect("a time");
    let pid = std::process::id();
    let stderr = install(&format!("{pid} {start} {place} {machine}")).ended_with(1).stderr;
    let works = format!(
        "install.sh: error: another install.sh, process {pid}, works in {}; run this again when it has ended\n",
        prefix.display()
    );
    assert_eq!(stderr, works);
    // Others cannot be seen from here.
    for (place, machine) in
        [("unknown", machine), (&*format!("0{place}"), machine), (&*format!("{place}1"), machine)]
    {
        let stderr = install(&format!("{pid} 1 {place} {machine}")).ended_with(1).stderr;
        let may = format!(
            "install.sh: error: another install.sh, process {pid} on {machine}, works in {}; if it has ended, remove {}\n",
            prefix.display(),
            lock.display()
        );
        assert_eq!(stderr, may);
        assert!(std::fs::symlink_metadata(&lock).is_ok(), "the lock of another is there");
    }
    // Another process has got the number since then, and the machine perhaps another name.
    for machine in [machine, "elsewhere"] {
        let outcome = install(&format!("{pid} {} {place} {machine}", start + 1)).ok();
        assert!(outcome.stderr.starts_with("install.sh: note: "), "{outcome}");
        assert!(std::fs::symlink_metadata(&lock).is_err(), "the lock is gone");
    }
    // The processes that were taking over the lock have ended, too, or one of them works.
    let claim = |of: u64| lock.with_file_name(format!("awsb.lock.{pid}-{of}"));
    symlink(format!("{pid} {} {place} {machine}", start + 2), claim(start + 1)).expect("a claim");
    symlink(format!("{pid} {start} {place} {machine}"), claim(start + 2)).expect("a claim");
    let stderr = install(&format!("{pid} {} {place} {machine}", start + 1)).ended_with(1).stderr;
    assert_eq!(stderr, works);
    assert!([lock.clone(), claim(start + 1), claim(start + 2)].iter().all(|link| link.is_symlink()));
    std::fs::remove_file(claim(start + 2)).expect("a claim");
    install(&format!("{pid} {} {place} {machine}", start + 1)).ok();
    let left =
        std::fs::read_dir(prefix.join("lib")).expect("a folder").map(|e| e.expect("an entry").file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["awsb"]);
}

/// The list in the script is complete: with a program less, nothing begins.
#[story]
fn a_program_that_is_missing_is_named_before_anything_changes() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let script = include_str!("../../packaging/install.sh");
    let programs = script.split("\nprograms='").nth(1).and_then(|rest| rest.split('\'').next());
    let programs: Vec<&str> = programs.expect("a list").split(' ').collect();
    let prefix = sandbox.work().join("prefix");
    let folder = sandbox.work().join("programs");
    std::fs::create_dir(&folder).expect("a folder");
    let found = |name: &str| sh(&sandbox, &format!("command -v {name}")).ok().stdout;
    for name in &programs {
        // A builtin of the shell has no path.
        if let Some(path) = found(name).trim().strip_prefix('/') {
            symlink(format!("/{path}"), folder.join(name)).expect("a link");
        }
    }
    let install = "PATH=$PWD/programs /bin/sh awsb-0.1.0/install.sh --prefix prefix";
    for line in [install, install, &format!("{install} --uninstall")] {
        let outcome = sh(&sandbox, line).ok();
        assert_eq!(outcome.stderr, "", "{outcome}");
    }
    assert!(!prefix.exists());
    let outcome = sh(&sandbox, &install.replacen("programs", "nowhere", 1)).ended_with(1);
    assert!(outcome.stderr.contains("PATH: cat, cp, "), "{outcome}");
    let names = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    for program in names.collect::<Vec<_>>() {
        let name = program.file_name().and_then(|name| name.to_str()).expect("a name");
        let aside = sandbox.work().join("aside");
        std::fs::rename(&program, &aside).expect("a link");
        let outcome = sh(&sandbox, install).ended_with(1);
        assert_eq!(
            outcome.stderr,
            format!("install.sh: error: not found in PATH: {name}; nothing has changed\n")
        );
        assert!(!prefix.exists(), "{name}");
        std::fs::rename(&aside, &program).expect("a link");
    }
}

/// Programs that change files. The one that is the KILL_AT-th in all kills the script before it has
/// done its work. Only a removal has begun: with the file that says whose folder it is. With
/// SIGNAL, both get this signal, as from a terminal.
#[cfg(target_os = "linux")]
fn deadly_programs(sandbox: &Sandbox) {
    let program = r#"#!/bin/sh
PATH=${PATH#*:}
echo >>calls
name=${0##*/}
[ "$(wc -l <calls)" = "$KILL_AT" ] || exec "$name" "$@"
for last; do :; done
case ${SIGNAL:-} in ?*)
    # Where the script does not hear the signal, neither does this.
    kill -s "$SIGNAL" "$(cat pid)" $$
    exec "$name" "$@" ;;
esac
[ "$name" != rm ] || rm -f "$last/made-by-install.sh"
kill -9 "$(cat pid)"
"#;
    for name in ["rm", "mkdir", "mv", "ln", "cp", "rmdir"] {
        sandbox.file(&format!("deadly/{name}"), "");
        executable(&sandbox.work().join("deadly").join(name), program).expect("a program");
    }
}

#[cfg(target_os = "linux")]
#[story]
fn whenever_one_is_killed_the_next_succeeds() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    deadly_programs(&sandbox);
    let prefix = sandbox.work().join("prefix");
    let install = "awsb-0.1.0/install.sh --prefix prefix";
    let uninstall = "prefix/lib/awsb/install.sh --uninstall";
    // Nobody can know who has made an empty folder, so it stays.
    std::fs::create_dir_all(prefix.join("lib")).expect("a folder");
    for line in [install, uninstall] {
        sh(&sandbox, install).ok();
        for kill in 1.. {
            let path = "PATH=$PWD/deadly:$PATH";
            let deadly = format!(
                "rm -f calls; KILL_AT={kill} {path} sh -c 'echo $$ >pid; exec sh {line}'; echo ended with $?"
            );
            let outcome = sh(&sandbox, &deadly).ok();
            if outcome.stdout.ends_with("ended with 0\n") {
                assert!(kill > 10, "{outcome}");
                break;
            }
            assert!(outcome.stdout.ends_with("ended with 137\n"), "{kill}: {outcome}");
            // The same command can be run again, as long as it is there.
            if line == uninstall && kill % 2 == 0 && prefix.join("lib/awsb/install.sh").exists() {
                sh(&sandbox, uninstall).ok();
                assert_eq!(all_below(&prefix), [prefix.join("lib")], "{kill}: {outcome}");
            }
            sh(&sandbox, install).ok();
            assert_eq!(sh(&sandbox, "prefix/bin/bsub --version").ok().stdout, "awsb 0.1.0\n");
        }
    }
    assert_eq!(all_below(&prefix), [prefix.join("lib")]);
}

#[cfg(target_os = "linux")]
#[story]
fn one_that_is_interrupted_leaves_no_lock_and_no_empty_folder() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    deadly_programs(&sandbox);
    let prefix = sandbox.work().join("prefix");
    let lib = prefix.join("lib");
    // Busybox has these programs in itself.
    let shells = awsb_testkit::shells::shells().into_iter().filter(|shell| shell[0] != "busybox");
    for (shell, is_update) in shells.map(|shell| (shell.join(" "), false)).chain([("sh".to_owned(), true)]) {
        for signal_at in 1.. {
            sh(&sandbox, "rm -rf prefix").ok();
            if is_update {
                sh(&sandbox, "awsb-0.1.0/install.sh --prefix prefix").ok();
            }
            let line = format!(
                "rm -f calls; SIGNAL=TERM KILL_AT={signal_at} PATH=$PWD/deadly:$PATH \
                 sh -c 'echo $$ >pid; exec {shell} awsb-0.1.0/install.sh --prefix prefix'; echo ended with $?"
            );
            let outcome = sh(&sandbox, &line).ok();
            // When all is done, a signal is not heard.
            if outcome.stdout.ends_with("ended with 0\n") {
                assert!(signal_at > 10, "{shell}: {outcome}");
                break;
            }
            assert!(outcome.stdout.ends_with("ended with 143\n"), "{shell}, {signal_at}: {outcome}");
            if is_update {
                assert_eq!(sh(&sandbox, "prefix/bin/bsub --version").ok().stdout, "awsb 0.1.0\n");
            }
            if is_update || lib.join("awsb").exists() {
                let left = std::fs::read_dir(&lib).expect("a folder");
                let left = left.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>();
                assert_eq!(left, ["awsb"], "{shell}, {signal_at}: {outcome}");
            } else {
                assert!(!prefix.exists(), "{shell}, {signal_at}: {:?}", all_below(&prefix));
            }
        }
    }
}
