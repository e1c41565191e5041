//! Each small program in `bin/` executes the program `awsb` that lies beside it, under its own
//! name.
//!
//! Nothing of the library is linked in: nine programs of this kind are small, and `awsb` is there
//! once. It is not looked for in PATH, where another version may be found.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Becomes `awsb` under the name of a tool; comes back only when that fails.
pub fn open(tool: &str) -> ExitCode {
    let failure = match beside() {
        Ok(program) => {
            let error = Command::new(&program).arg0(tool).args(std::env::args_os().skip(1)).exec();
            format!("starting {}: {error}", program.display())
        }
        Err(e) => format!("looking for the program awsb beside {tool}: {e}"),
    };
    eprintln!("{tool}: error: {failure}");
    eprintln!("hint: {tool} needs awsb in its own folder: install all of awsb's programs into one folder");
    ExitCode::FAILURE
}

/// The program `awsb` in the folder of this one, links resolved.
fn beside() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?.canonicalize()?;
    let program = own.with_file_name("awsb");
    // A link back to this program would execute it again and again.
    if program.canonicalize().is_ok_and(|found| found == own) {
        return Err(io::Error::other(format!("{} is a link to this program", program.display())));
    }
    Ok(program)
}
