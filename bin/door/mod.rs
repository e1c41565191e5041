//! Each small program in `bin/` executes the program `awsb` that lies beside it, under its own
//! name.
//!
//! Nothing of the library is linked in: nine programs of this kind are small, and `awsb` is there
//! once. It is not looked for in PATH, where another version may be found.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Becomes `awsb` under the name of a tool; comes back only when that fails.
pub fn open(tool: &str) -> ExitCode {
    const INSTALL: &str = "install all of awsb's programs into one folder";
    let (failure, hint) = match beside() {
        Ok(program) => {
            let error = Command::new(&program).arg0(tool).args(std::env::args_os().skip(1)).exec();
            let hint = format!("{tool} needs awsb in its own folder: {INSTALL}");
            (format!("starting {}: {error}", program.display()), hint)
        }
        // The system does not say which file a process executes.
        Err(e) if cfg!(target_os = "linux") && !Path::new("/proc/self").exists() => {
            let hint = format!("mount /proc, or run `awsb {}` instead", tool.trim_start_matches('b'));
            (format!("looking for the program awsb beside {tool}: /proc is not mounted: {e}"), hint)
        }
        Err(e) => (format!("looking for the program awsb beside {tool}: {e}"), INSTALL.to_owned()),
    };
    eprintln!("{tool}: error: {failure}");
    eprintln!("hint: {hint}");
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
