//! All fuzz targets in one program: `AWSB_FUZZ_TARGET` says which one it runs (see `run`).
#![no_main]

use std::sync::OnceLock;

use awsb::{config, image};
use awsb_local as local;
use awsb_model::{Directives, TaskIds};
use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// The targets' names, which their folders in `seeds/` have, too.
const TARGETS: [(&str, Target); 9] = [
    ("chunked", local::fuzzing::chunked),
    ("directives", directives),
    ("ignore_file", image::context::fuzzing::ignore_file),
    ("jobs", jobs),
    ("pattern", pattern),
    ("s3", local::fuzzing::s3),
    ("settings", settings),
    ("signature", signature),
    ("tasks", tasks),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(data);
    }
});

fn choose() {
    let name = std::env::var("AWSB_FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => _ = TARGET.set(*target),
        None => {
            let names = TARGETS.map(|(name, _)| name).join(", ");
            eprintln!("AWSB_FUZZ_TARGET is {name:?}; it has to be one of {names}");
            std::process::exit(2);
        }
    }
}

/// A script's head: `#AWSB`, `#SBATCH` and `#BSUB` lines.
fn directives(script: &[u8]) {
    let found = Directives::read(script);
    let lines = script.split(|byte| *byte == b'\n').count();
    let options = found.options.iter().map(|option| option.line);
    let remarks = found.warnings.iter().chain(&found.errors).map(|remark| remark.line);
    assert!(
        options.chain(remarks).all(|line| (1..=lines).contains(&line)),
        "a line that the script does not have"
    );
}

/// The bodies of SubmitJob and of RegisterJobDefinition: the first line is the one, the rest the other.
fn jobs(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (job, definition) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    local::fuzzing::job(job, definition);
}

/// Filter patterns of FilterLogEvents: the first line is the pattern, the rest the message.
fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, message) = text.split_once('\n').unwrap_or((text, ""));
    local::fuzzing::pattern(pattern, message);
}

/// The settings file, and that of the old tools.
fn settings(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        config::fuzzing::settings(text);
    }
}

/// A request as it comes from the network: which service it is signed for, and whether it is.
fn signature(data: &[u8]) {
    // The head's end is the first empty line; the body is what follows it.
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &data[data.len()..]),
    };
    local::fuzzing::request(head, body);
}

/// The IDs of an array's tasks, in Slurm's syntax.
fn tasks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A million tasks take a second here, and show nothing that fewer do not. Longer numbers are refused at once.
    if text.split(|c: char| !c.is_ascii_digit()).any(|digits| (5..=7).contains(&digits.len())) {
        return;
    }
    let Ok(tasks) = text.parse::<TaskIds>() else { return };
    assert_eq!(tasks.to_string().parse::<TaskIds>().as_ref(), Ok(&tasks), "{text:?}");
    for position in [0, tasks.count() / 2, tasks.count() - 1] {
        let id = tasks.get(position);
        assert_eq!(id.and_then(|id| tasks.position(id)), Some(position), "{text:?}");
    }
    assert_eq!((tasks.get(0), tasks.get(tasks.count())), (Some(tasks.min()), None), "{text:?}");
}
