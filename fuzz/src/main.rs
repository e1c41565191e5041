//! All fuzz targets in one program. `AWSB_FUZZ_TARGET` chooses the one that it runs (see `run`).
//!
//! A target looks for panics, overflows and endless loops. It asserts what must hold beyond that.
#![no_main]

mod clusters;
mod ignore_file;
mod requests;
mod s3;
mod settings;

use std::sync::OnceLock;

use awsb_model::{Directives, TaskIds};
use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// The targets' names, which their folders in `seeds/` have, too.
const TARGETS: [(&str, Target); 11] = [
    ("chunked", s3::chunked),
    ("directives", directives),
    ("ignore_file", ignore_file::ignore_file),
    ("jobs", requests::jobs),
    ("parallelcluster", clusters::parallelcluster),
    ("pattern", requests::pattern),
    ("s3", s3::s3),
    ("settings", settings::settings),
    ("signature", requests::signature),
    ("tasks", tasks),
    ("template", clusters::template),
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

/// Reads the head of a script: `#AWSB`, `#SBATCH` and `#BSUB` lines.
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

/// Reads the IDs of an array's tasks, in Slurm's syntax.
fn tasks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A million tasks take a second here, and show nothing that fewer do not. Longer numbers are
    // refused at once.
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
