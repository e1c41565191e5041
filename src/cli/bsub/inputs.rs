//! The files that a job takes along.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::stage::{Inputs, forgotten};
use crate::ui::{Failure, note};
use awsb_model::{Input, Work};

/// Finds what `--input` names, and tells of files that arguments name and that the job would not find.
pub fn gather(args: &[Input], work: &Work, quiet: bool) -> Result<Inputs, Failure> {
    let (script, words) = match work {
        Work::Script { script, args } => (Some((script.file_name(), script.contents())), args.as_slice()),
        // The command itself is the image's.
        Work::Command(argv) => (None, argv.get(1..).unwrap_or_default()),
    };
    let inputs = Inputs::gather(args, script)?;
    if quiet {
        return Ok(inputs);
    }
    for (path, value) in forgotten(words.iter().map(|w| w.as_os_str()), |p| p.is_file(), &inputs) {
        let value = awsb_model::payload::launcher::quote(OsStr::from_bytes(value.as_bytes()));
        note(format!(
            "bsub: note: {} is a file here, but not in the job; to send it with the job, add `-i {}`",
            path.display(),
            value.display()
        ));
    }
    Ok(inputs)
}
