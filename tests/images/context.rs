//! Build contexts: what we pack, held against what the `docker` command sends to an engine for the
//! same folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use awsb::image::Context;
use awsb_testkit::{Answer, BadServer, Sandbox, behind_a_gate, program, python, story};
use nix::sys::signal::Signal;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The content of an archive: each name without a slash at the end, and all attributes except times
/// and owners.
type Packed = BTreeMap<String, String>;

/// A folder with names that are hard to get right, the same for every case.
fn folder(sandbox: &Sandbox) {
    for name in [
        "Dockerfile",
        "a",
        "A",
        "b.txt",
        "x.o",
        ".hidden",
        "foo bar",
        "a*b",
        "a\\b",
        "[z]",
        "\u{e9}.txt",
        "!bang",
        "#hash",
        "a+b(c)",
        "a^b",
        "line\nend",
        "dir/a",
        "dir/b.txt",
        "dir/x.o",
        "dir/sub/a",
        "dir/sub/b.txt",
        "dir/sub/deep/x.o",
        "dir2/keep/x",
        "dir2/keep/y.txt",
        "dir2/y",
    ] {
        let path = sandbox.file(name, name);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("its mode");
    }
    let at = |name: &str| sandbox.work().join(name);
    std::fs::set_permissions(at("x.o"), PermissionsExt::from_mode(0o4711)).expect("its mode");
    std::fs::set_permissions(at("dir2"), PermissionsExt::from_mode(0o1777)).expect("its mode");
    std::fs::create_dir_all(at("empty/none")).expect("an empty folder");
    std::fs::hard_link(at("a"), at("z-same")).expect("a hard link");
    symlink("dir", at("link")).expect("a link");
    symlink("../../etc//passwd", at("out")).expect("a link");
    symlink(format!("./{}", "e/".repeat(80)), at("long")).expect("a link");
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
}

fn packed(archive: impl Read) -> Packed {
    let mut archive = tar::Archive::new(archive);
    let mut all = Packed::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let mut content = String::new();
        let _ = entry.read_to_string(&mut content);
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let link = entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned());
        let (kind, mode) = (entry.header().entry_type(), entry.header().mode().unwrap_or(0));
        all.insert(name, format!("{kind:?} {mode:o} {} {content}", link.unwrap_or_default()));
    }
    all
}

/// An engine that takes every context and builds nothing.
struct Engine(BadServer);

impl Engine {
    fn start() -> Self {
        Self(BadServer::start(|request, _| {
            let api =
                vec![("api-version", "1.41".to_owned()), ("content-type", "application/json".to_owned())];
            let body = if request.method == "POST" { "{\"stream\":\"taken\"}\n" } else { "" };
            Answer::Http(200, body.to_owned(), api)
        }))
    }

    /// The context that the `docker` command sends of a folder; `None` when it refuses.
    fn sent(&self, sandbox: &mut Sandbox) -> Option<Packed> {
        sandbox.set("DOCKER_HOST", self.0.endpoint().replace("http:", "tcp:"));
        // Its own packing, not BuildKit's, which asks for one file after the other.
        sandbox.set("DOCKER_BUILDKIT", "0");
        let built = |request: &&awsb_testkit::Request| request.target.contains("/build");
        let before = self.0.requests("").iter().filter(built).count();
        let outcome = sandbox.run("docker", ["build", "."]);
        let requests = self.0.requests("");
        let request = requests.iter().filter(built).nth(before);
        assert_eq!(outcome.status.success(), request.is_some(), "{}", outcome.stderr);
        request.map(|request| packed(request.body.as_slice()))
    }
}

fn ours(sandbox: &Sandbox) -> Result<Packed, String> {
    Context::gather(&sandbox.work(), None)
        .map(|context| packed(context.tar()))
        .map_err(|e| e.message().to_owned())
}

/// Whether an exception has a wildcard before its end. Docker's old packing, which is the one that
/// can be watched here, overlooks what it takes back from folders that are left out; BuildKit does
/// not, and nor do we.
fn has_wild_exceptions(file: &str) -> bool {
    let wild = |line: &str| {
        let pattern =
            line.trim().trim_start_matches(['!', ' ']).trim_end_matches("/**").trim_end_matches("/*");
        line.trim().starts_with('!') && pattern.contains(['*', '?', '[', ']', '^', '\\'])
    };
    file.lines().any(wild)
}

/// The differences between the two contexts. There are none when both are the same.
fn differences(ours: &Packed, docker: &Packed, may_have_more: bool) -> Vec<String> {
    // BuildKit sends the folders above what it sends; the old packing leaves them to the engine.
    let above: BTreeSet<&Path> = docker.keys().flat_map(|name| Path::new(name).ancestors().skip(1)).collect();
    let names: BTreeSet<&String> = ours.keys().chain(docker.keys()).collect();
    names
        .into_iter()
        .filter(|name| match (ours.get(*name), docker.get(*name)) {
            (Some(_), None) => !may_have_more && !above.contains(Path::new(name)),
            (one, other) => one != other,
        })
        .map(|name| format!("{name:?}: {:?}, docker: {:?}", ours.get(name), docker.get(name)))
        .collect()
}

#[track_caller]
fn check(sandbox: &mut Sandbox, engine: &Engine, file: &str) {
    sandbox.file(".dockerignore", file);
    let docker = engine.sent(sandbox);
    match (ours(sandbox), docker) {
        (Ok(ours), Some(docker)) => {
            let differences = differences(&ours, &docker, has_wild_exceptions(file));
            assert!(differences.is_empty(), "{file:?}: {differences:#?}");
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("{file:?}: docker refuses it, and we do not"),
        (Err(why), Some(_)) => {
            // Docker looks at a pattern only when it has to; the line alone it refuses, too.
            let number =
                why.split(", line ").nth(1).and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
            let line = number.and_then(|number| file.lines().nth(number - 1)).expect("the line's number");
            sandbox.file(".dockerignore", format!("**\n!**\n**\n{line}\n"));
            let alone = engine.sent(sandbox);
            sandbox.file(".dockerignore", format!("{line}\n"));
            assert!(
                alone.is_none() || engine.sent(sandbox).is_none(),
                "{file:?}: {why}, and docker takes it"
            );
        }
    }
}

#[story]
fn a_context_is_what_docker_sends() {
    program("docker");
    let (mut sandbox, engine) = (Sandbox::new(), Engine::start());
    folder(&sandbox);
    for file in [
        "",
        "# nothing\n\n   \n",
        "a\n",
        "/a\n",
        "./a\n",
        "dir/../a\n",
        "//dir//sub//\n",
        "  a  \r\nx.o\t\r\n",
        "\u{feff}a\n",
        "b.txt\n\u{feff}a\n",
        "#hash\n",
        " #hash\n",
        "\\#hash\n",
        "A\n",
        "*\n",
        "**\n",
        "*/*\n",
        "**/*\n",
        "*/**\n",
        ".\n",
        "/\n",
        "..\n",
        "*.txt\n",
        "*.o\n",
        "**/*.o\n",
        "*/*.o\n",
        "**.o\n",
        "dir/**/x.o\n",
        "dir/**\n",
        "dir/*\n",
        "dir**\n",
        "d*/sub\n",
        "?\n",
        "???.txt\n",
        "?.txt\n",
        "[a-b].txt\n",
        "[^a-b]\n",
        "[\u{e0}-\u{f0}].txt\n",
        "\\[z\\]\n",
        "[[]z]\n",
        "a\\*b\n",
        "a\\\\b\n",
        "a[*]b\n",
        "a[?]b\n",
        "a+b(c)\n",
        "a+b(?)\n",
        "a^b\n",
        "a^*\n",
        "line*\n",
        "**end\n",
        "**/*end\n",
        "\\!bang\n",
        "*\n!!bang\n",
        "foo bar\n",
        "foo\\ bar\n",
        "Dockerfile\n.dockerignore\n",
        "*\n!dir\n",
        "*\n!dir/sub\n",
        "*\n!dir/sub\ndir/sub/a\n",
        "*\n! dir/a\n",
        "*\n!/dir/sub/deep\n",
        "dir\n!dir/*.txt\n",
        "dir\n!dir/**\n",
        "**\n!dir2/keep\n",
        "!a\na\n",
        "a\n!a\na\n",
        "dir/sub\n!dir\n",
        "dir2\n!dir2/keep/x\n",
        "*\n!*.txt\n",
        "*\n!**/*.txt\n",
        "**/sub\n!**/sub/a\n",
        "*\n!\\!bang\n",
        "\\d\n",
        "[\\w]\n",
        "[[:upper:]]\n",
        "\\x41\n",
        "\\foo\n",
        "a\\b\n",
        "!\n",
        "!/\n",
        "! \n",
        "[\n",
        "[]a]\n",
        "[a-\n",
        "[z-a]\n",
        "a\\\n",
        "\\y\n",
        "[[:nix:]]\n",
        "*\n![z-a]\n",
    ] {
        check(&mut sandbox, &engine, file);
    }
    // A way out of the folder and back in.
    let own = sandbox.work();
    let own = own.file_name().and_then(|name| name.to_str()).expect("the folder's name");
    check(&mut sandbox, &engine, &format!("../{own}/a\n"));
}

/// Any file that is made of what patterns are made of.
#[story]
fn any_context_is_what_docker_sends() {
    program("docker");
    let (sandbox, engine) = (Sandbox::new(), Engine::start());
    folder(&sandbox);
    let sandbox = std::cell::RefCell::new(sandbox);
    let word = prop_oneof![
        3 => Just("*"), 3 => Just("**"), 3 => Just("/"), 1 => Just("?"), 1 => Just("["), 1 => Just("]"), 1 => Just("\\"),
        1 => Just("^"), 1 => Just("-"), 1 => Just("."), 1 => Just(".."), 1 => Just(" "), 3 => Just("a"), 2 => Just("b"),
        3 => Just("dir"), 2 => Just("sub"), 1 => Just("deep"), 1 => Just("x.o"), 1 => Just(".txt"), 1 => Just("dir2/keep"),
        1 => Just("[a-d]"), 1 => Just("[^x]"),
    ];
    let line = (prop_oneof![2 => Just(""), 1 => Just("!")], prop::collection::vec(word, 1..5))
        .prop_map(|(bang, words)| format!("{bang}{}\n", words.concat()));
    let file = prop::collection::vec(line, 1..5).prop_map(|lines| lines.concat());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(80);
    let config = Config { failure_persistence: None, max_shrink_iters: 200, ..Config::with_cases(cases) };
    TestRunner::new(config)
        .run(&file, |file| {
            check(&mut sandbox.borrow_mut(), &engine, &file);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

/// As inputs do: what has arrived of an upload that died is not sent again, nor is a context that
/// is there.
#[story]
fn a_large_context_goes_to_s3_once() {
    let aws = python().join("bin/aws").display().to_string();
    let settings = "codebuild_project = \"p\"\necr_repository = \"127.0.0.1:1/lab/x\"\n";
    let (sandbox, gate) = behind_a_gate(1, settings);
    sandbox.file("image/Dockerfile", "FROM scratch\n");
    // Bytes that cannot be compressed (xorshift64).
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let content: Vec<u8> = (0..(20 << 20) / 8).flat_map(|_| random()).collect();
    sandbox.file("image/data", &content);
    let building = sandbox.start("bimage", ["build", "image"]);
    gate.wait_until_closed(2);
    building.signal(Signal::SIGKILL);
    drop(building.wait());
    gate.open();
    for _ in 0..2 {
        // The local cluster has no CodeBuild; by then the context is there.
        let failed = sandbox.run("bimage", ["build", "image"]).ended_with(1);
        assert!(failed.stderr.contains("starting a build"), "{failed}");
        assert_eq!(gate.parts(), [1, 2, 3], "no part is sent twice");
    }
    let listed = sandbox.run(&aws, ["s3", "ls", "--recursive", "s3://awsb-local/"]).ok().stdout;
    let key = listed.split_whitespace().last().expect("one object");
    assert_eq!(listed.lines().count(), 1, "{listed}");
    sandbox
        .run(&aws, ["s3", "cp", "--only-show-errors", &format!("s3://awsb-local/{key}"), "got.tar.gz"])
        .ok();
    let unpacked = "gunzip got.tar.gz && sha256sum < got.tar && tar -xf got.tar && cmp data image/data";
    let sum = sandbox.run("sh", ["-eu", "-c", unpacked]).ok().stdout;
    let hash = sum.split(' ').next().expect("a hash");
    assert_eq!(key, format!("awsb/contexts/{hash}.tar.gz"));
}
