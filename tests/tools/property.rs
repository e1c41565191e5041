//! All input arrives in the job unchanged: arguments, variables, scripts, inputs and lines of any
//! bytes. They travel through the built `bsub` and the local cluster, in whichever form `bsub`
//! chooses for them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use awsb_testkit::{Sandbox, story};
use proptest::collection;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// Writes what it is given into a file, each with a NUL behind it. (Without arguments `printf`
/// would print one of its own: the variable makes sure that there is something.)
const DUMP: &str = r#"printf '%s\0' "$@" "$VALUE" > "$OUT.part" && mv "$OUT.part" "$OUT""#;

/// Texts that mean something to a shell, to Batch, to `printf` or to `bsub` itself.
const SPECIAL: &[&str] = &[
    "",
    " ",
    "\n",
    "a\nb\n",
    "\n\n",
    "Ref::x",
    "a Ref::b c",
    "{}",
    "'",
    "\"",
    "\\",
    "\\'",
    "$HOME",
    "`id`",
    "$(id)",
    "*",
    "~",
    "-n",
    "--",
    "!",
    "%s\\0",
    "\t",
    "\r",
    "\r\n",
    "é😀",
    "#",
    "a=b",
    "&&",
];

/// Bytes that an argument or a variable may have: all but NUL.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => collection::vec(1u8..=255, 0..30),
        3 => "[ -~]{0,40}".prop_map(String::into_bytes),
        1 => "\\PC{0,20}".prop_map(String::into_bytes),
        3 => prop::sample::select(SPECIAL).prop_map(|text| text.as_bytes().to_vec()),
        // Too long for a request, so it travels in a bundle in S3.
        1 => (collection::vec(1u8..=255, 50..60), 150usize..250).prop_map(|(bytes, times)| bytes.repeat(times)),
    ]
}

/// A line that `--each` takes: without a line end, and without Windows' one.
fn line() -> impl Strategy<Value = Vec<u8>> {
    word().prop_map(|mut bytes| {
        bytes.retain(|byte| *byte != b'\n');
        if bytes.ends_with(b"\r") {
            bytes.push(b'.');
        }
        bytes
    })
}

/// Values of a strategy, others at every run.
fn some<S: Strategy>(count: usize, strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// A file that a job will write, what has to be in it, and what was submitted.
struct Expected {
    file: PathBuf,
    bytes: Vec<u8>,
    what: String,
}

/// The jobs that are on their way.
struct Jobs {
    sandbox: Sandbox,
    expected: Vec<Expected>,
}

impl Jobs {
    fn new() -> Self {
        Self { sandbox: Sandbox::new(), expected: Vec::new() }
    }

    /// A file for a job to write, and the option that tells it.
    fn out(&self, name: &str) -> (PathBuf, OsString) {
        let file = self.sandbox.work().join("out").join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        let option = format!("-eOUT={}", file.display()).into();
        (file, option)
    }

    /// Submits a job; `value` is a variable of the shell that submits, which `-e VALUE` hands on.
    #[track_caller]
    fn submit(&self, args: &[OsString], value: Option<&OsStr>) {
        let mut command = self.sandbox.command("bsub", ["--quiet"]);
        // Batch puts these in the place of a `Ref::x` and a `Ref::b` that are not the job
        // definition's either.
        command.args(["--param=x=replaced", "--param=b=replaced"]);
        command.args(args).envs(value.map(|value| ("VALUE", value)));
        let output = command.stdin(Stdio::null()).output().expect("bsub");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    fn expect(&mut self, file: PathBuf, bytes: Vec<u8>, what: impl std::fmt::Debug) {
        self.expected.push(Expected { file, bytes, what: format!("{what:?}") });
    }

    /// Waits for every job's file.
    #[track_caller]
    fn arrive(self) {
        for Expected { file, bytes, what } in &self.expected {
            let limit = Duration::from_secs(100);
            let found = awsb_testkit::eventually(what, limit, || std::fs::read(file).ok());
            assert!(found == *bytes, "{what}\n  arrived as {:?}", found.escape_ascii().to_string());
        }
    }
}

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// All of it as [`DUMP`] writes it.
fn dumped<'a>(words: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    words.into_iter().flat_map(|word| word.iter().copied().chain([0])).collect()
}

#[story]
fn arguments_and_variables_arrive_unchanged() {
    let mut jobs = Jobs::new();
    jobs.sandbox.file("dump.sh", DUMP);
    jobs.sandbox.file("shebang.sh", format!("#!/bin/sh\n{DUMP}\n"));
    let work: [&[&str]; 3] = [&["dump.sh"], &["shebang.sh"], &["--command", "/bin/sh", "-c", DUMP, "sh"]];
    // Each special word alone: beside one that takes another form of travel, it would not be tried.
    let special = SPECIAL.iter().map(|text| (vec![text.as_bytes().to_vec()], text.as_bytes().to_vec()));
    let random = some(16, (collection::vec(word(), 0..5), word()));
    for (n, (words, value)) in special.chain(random).enumerate() {
        let (file, out) = jobs.out(&n.to_string());
        let set = OsString::from_vec([b"-eVALUE=".as_slice(), &value].concat());
        let handed_on = n % 2 == 0;
        let mut args = vec![out, if handed_on { "-eVALUE".into() } else { set }];
        args.extend(work[n % work.len()].iter().map(OsString::from));
        args.extend(words.iter().map(|word| os(word)));
        jobs.submit(&args, handed_on.then(|| os(&value)).as_deref());
        jobs.expect(file, dumped(words.iter().chain([&value])), args);
    }
    jobs.arrive();
}

#[story]
fn scripts_and_inputs_arrive_unchanged() {
    let mut jobs = Jobs::new();
    let copies = "#!/bin/sh\ncat \"$0\" > \"$OUT.part\" && mv \"$OUT.part\" \"$OUT\"\nexit\n";
    for (n, rest) in some(8, collection::vec(any::<u8>(), 0..3000)).into_iter().enumerate() {
        let (file, out) = jobs.out(&n.to_string());
        let script = [copies.as_bytes(), &rest].concat();
        if n % 2 == 0 {
            let path = jobs.sandbox.file(&format!("script-{n}"), &script);
            jobs.submit(&[out, path.into()], None);
        } else {
            let args = [OsString::from("--quiet"), out];
            jobs.sandbox.run_with_input("bsub", args, script.clone()).ok();
        }
        jobs.expect(file, script, n);
    }
    // The same for the parts of a script that the shell reads.
    for (n, text) in some(6, collection::vec(line(), 0..6)).into_iter().enumerate() {
        let (file, out) = jobs.out(&format!("here-{n}"));
        // dash loses a byte where a line of a here-document begins like its end and goes on beyond
        // ASCII.
        let line = |line: &Vec<u8>| [b"|".as_slice(), line, b"\n"].concat();
        let text: Vec<u8> = text.iter().flat_map(line).collect();
        let head = b"cat > \"$OUT.part\" <<'the end of it'\n".as_slice();
        let tail = b"the end of it\nmv \"$OUT.part\" \"$OUT\"\n".as_slice();
        let script = [head, &text, tail].concat();
        let path = jobs.sandbox.file(&format!("here-{n}.sh"), &script);
        jobs.submit(&[out, path.into()], None);
        jobs.expect(file, text, script.escape_ascii().to_string());
    }
    let sizes =
        prop_oneof![collection::vec(any::<u8>(), 0..2000), collection::vec(any::<u8>(), 40_000..60_000)];
    for (n, blob) in some(6, sizes).into_iter().enumerate() {
        let (file, out) = jobs.out(&format!("blob-{n}"));
        let path = jobs.sandbox.file(&format!("blob-{n}"), &blob);
        let copy = format!("cat there/blob-{n} > \"$OUT.part\" && mv \"$OUT.part\" \"$OUT\"");
        let input = format!("-i{}:there/", path.display());
        jobs.submit(&[out, input.into(), "--wrap".into(), copy.into()], None);
        jobs.expect(file, blob, n);
    }
    jobs.arrive();
}

#[story]
fn lines_of_an_array_arrive_unchanged() {
    let mut jobs = Jobs::new();
    jobs.sandbox.file("dump.sh", format!("OUT=$OUT.$AWSB_TASK_ID\n{DUMP}"));
    for (n, (lines, value)) in some(5, (collection::vec(line(), 1..4), word())).into_iter().enumerate() {
        let (file, out) = jobs.out(&n.to_string());
        let contents: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        let path = jobs.sandbox.file(&format!("lines-{n}"), &contents);
        let set = OsString::from_vec([b"-eVALUE=".as_slice(), &value].concat());
        let mut args = vec![out, set, "--each".into(), path.into()];
        args.extend(["dump.sh", "{}", "<{}|{}>", "", "Ref::x"].map(OsString::from));
        jobs.submit(&args, None);
        for (task, line) in (1..).zip(&lines) {
            let twice = [b"<".as_slice(), line, b"|", line, b">"].concat();
            let words = [line.clone(), twice, Vec::new(), b"Ref::x".to_vec(), value.clone()];
            jobs.expect(file.with_extension(task.to_string()), dumped(&words), &args);
        }
    }
    jobs.arrive();
}
