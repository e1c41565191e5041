//! The files in which shells look for completions.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::scripts::{MARK, Shell};
use crate::config::{config_home, data_home, home};
use crate::ui::Failure;

/// The result for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Written,
    /// It was removed.
    Removed,
    /// It already has this content.
    Unchanged,
    /// It is not awsb's.
    Left,
}

impl Change {
    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Removed => "removed",
            Self::Unchanged => "unchanged",
            Self::Left => "left",
        }
    }
}

/// A file, and the result for it.
#[derive(Debug, Clone)]
pub struct FileChange {
    /// The shell that reads it.
    pub shell: Shell,
    /// The file.
    pub path: PathBuf,
    /// The result.
    pub change: Change,
}

/// Writes the script of each program into this user's folder for the shell.
///
/// # Errors
/// When the user has no home, or a file cannot be written.
pub fn install(shell: Shell, programs: &[&str]) -> Result<Vec<FileChange>, Failure> {
    let folder = folder(shell)?;
    let failed = |path: &Path, e: &io::Error| {
        let print = format!("`source <(awsb completions --print --shell {})`", shell.name());
        let failure = Failure::failed(format!("writing completions to {}: {e}", path.display()));
        match shell {
            Shell::Fish => {
                failure.hint("`awsb completions --print --shell fish | source` has them in one shell")
            }
            Shell::Bash | Shell::Zsh => failure.hint(format!("{print} has them in one shell")),
        }
    };
    fs::create_dir_all(&folder).map_err(|e| failed(&folder, &e))?;
    let mut changes = Vec::new();
    for program in programs {
        let path = folder.join(file_name(shell, program));
        let script = shell.script(&[program]);
        let change = match read(&path) {
            Found::Ours(text) if text == script => Change::Unchanged,
            Found::Other => Change::Left,
            Found::Unreadable(e) => return Err(failed(&path, &e)),
            Found::Ours(_) | Found::Nothing => {
                write(&path, &script).map_err(|e| failed(&path, &e))?;
                Change::Written
            }
        };
        changes.push(FileChange { shell, path, change });
    }
    Ok(changes)
}

/// Removes the scripts from this user's folder for the shell. Files of others are not mentioned.
///
/// # Errors
/// When the user has no home, or a file cannot be removed.
pub fn uninstall(shell: Shell, programs: &[&str]) -> Result<Vec<FileChange>, Failure> {
    let folder = folder(shell)?;
    let mut changes = Vec::new();
    for program in programs {
        let path = folder.join(file_name(shell, program));
        let removed = match read(&path) {
            Found::Ours(_) => fs::remove_file(&path),
            Found::Unreadable(e) => Err(e),
            Found::Nothing | Found::Other => continue,
        };
        removed.map_err(|e| Failure::failed(format!("removing {}: {e}", path.display())))?;
        changes.push(FileChange { shell, path, change: Change::Removed });
    }
    Ok(changes)
}

/// What remains to be done by hand until the shell finds the files in this user's folder.
///
/// # Errors
/// When the user has no home.
pub fn needs(shell: Shell) -> Result<Vec<String>, Failure> {
    let folder = folder(shell)?;
    let start = format!("a new {} has them", shell.name());
    Ok(match shell {
        Shell::Bash if has_bash_completion() => vec![start],
        Shell::Bash => vec![
            "bash finds them by the package bash-completion, which is not found here".to_owned(),
            "without it, this line belongs into ~/.bashrc: source <(awsb completions --print --shell bash)"
                .to_owned(),
        ],
        Shell::Zsh if zshrc().is_some_and(|text| names_folder(&text, &folder)) => vec![start],
        Shell::Zsh => vec![
            format!("this line belongs into ~/.zshrc, above `compinit`: fpath=({} $fpath)", folder.display()),
            "without any `compinit` there, this line has to follow: autoload -Uz compinit && compinit"
                .to_owned(),
        ],
        Shell::Fish => vec![start],
    })
}

/// The completions that the shell finds for a program: those of the user, those of the system (XDG
/// Base Directory Specification), and for bash those beside this installation (bash-completion
/// since 2.12).
pub fn find(shell: Shell, program: &str) -> Option<PathBuf> {
    let below = match shell {
        Shell::Bash => "bash-completion/completions",
        Shell::Zsh => "zsh/site-functions",
        Shell::Fish => "fish/vendor_completions.d",
    };
    let own = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let own = own
        .filter(|_| shell == Shell::Bash && looks_beside_programs())
        .and_then(|path| Some(path.parent()?.parent()?.join("share")));
    let system = variable("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let system: Vec<PathBuf> = std::env::split_paths(&system).filter(|folder| folder.is_absolute()).collect();
    // Debian's zsh has this folder in fpath, and not /usr/share/zsh/site-functions.
    let of_debian = (shell == Shell::Zsh).then(|| PathBuf::from("/usr/share/zsh/vendor-completions"));
    let shared = data_home().into_iter().chain(own).chain(system).map(|data| data.join(below));
    let folders = folder(shell).ok().into_iter().chain(shared).chain(of_debian);
    let name = file_name(shell, program);
    folders.map(|folder| folder.join(&name)).find(|path| path.exists())
}

/// The folder in which this user's completions for a shell are.
fn folder(shell: Shell) -> Result<PathBuf, Failure> {
    let folder = match shell {
        // bash-completion(7), BASH_COMPLETION_USER_DIR.
        Shell::Bash => {
            let folders = variable("BASH_COMPLETION_USER_DIR").unwrap_or_default();
            let named = std::env::split_paths(&folders).find(|folder| folder.is_absolute());
            let named = named.map(|folder| folder.join("completions"));
            named.or_else(|| data_home().map(|data| data.join("bash-completion/completions")))
        }
        Shell::Zsh => data_home().map(|data| data.join("zsh/site-functions")),
        // fish, "Where to put completions".
        Shell::Fish => config_home().map(|config| config.join("fish/completions")),
    };
    folder.ok_or_else(|| {
        Failure::failed("this user has no home, in which completions could be")
            .hint("`awsb completions --print` prints them")
    })
}

fn file_name(shell: Shell, program: &str) -> String {
    match shell {
        Shell::Bash => program.to_owned(),
        Shell::Zsh => format!("_{program}"),
        Shell::Fish => format!("{program}.fish"),
    }
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The files of bash-completion, as packages of Linux and Homebrew install it.
const BASH_COMPLETION: [&str; 5] = [
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/usr/local/etc/profile.d/bash_completion.sh",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/etc/bash_completion",
];

/// Whether bash-completion is installed, without which bash reads no files.
pub fn has_bash_completion() -> bool {
    BASH_COMPLETION.iter().any(|file| Path::new(file).exists())
}

/// Whether bash-completion looks beside the program that it completes, too.
fn looks_beside_programs() -> bool {
    let text = BASH_COMPLETION.iter().find_map(|file| crate::config::read_text(Path::new(file)).ok());
    text.and_then(|text| version_of(&text)).is_some_and(|version| version >= (2, 12))
}

/// The version that the file of bash-completion has in it: `BASH_COMPLETION_VERSINFO=(2 11)`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("BASH_COMPLETION_VERSINFO=(")?;
    let (version, _) = rest.split_once(')')?;
    let mut numbers = version.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The text of the user's `.zshrc`.
fn zshrc() -> Option<String> {
    let folder = variable("ZDOTDIR").map(PathBuf::from).or_else(home)?;
    crate::config::read_text(&folder.join(".zshrc")).ok()
}

/// Whether a text names a folder, whole or below `~` or `$HOME`.
fn names_folder(text: &str, folder: &Path) -> bool {
    let below_home = home().and_then(|home| folder.strip_prefix(home).ok().map(PathBuf::from));
    text.contains(&folder.display().to_string())
        || below_home.is_some_and(|below| {
            ["~", "$HOME", "${HOME}"].iter().any(|home| text.contains(&format!("{home}/{}", below.display())))
        })
}

/// A file that is to be written or removed.
enum Found {
    Nothing,
    Ours(String),
    Other,
    Unreadable(io::Error),
}

fn read(path: &Path) -> Found {
    match fs::symlink_metadata(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Found::Nothing
        }
        Err(e) => Found::Unreadable(e),
        Ok(meta) if meta.is_file() => match fs::read_to_string(path) {
            Ok(text) if text.lines().take(5).any(|line| line == MARK) => Found::Ours(text),
            Err(e) if e.kind() != io::ErrorKind::InvalidData => Found::Unreadable(e),
            _ => Found::Other,
        },
        Ok(_) => Found::Other,
    }
}

/// Writes a file as a whole, or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let readable = fs::Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_bash_completion() {
        let text = "    BASH_COMPLETION_VERSINFO=(2 11)\nother=(1)\n";
        assert_eq!(version_of(text), Some((2, 11)));
        assert_eq!(version_of("BASH_COMPLETION_VERSINFO=(2 16 0 ''dev)"), Some((2, 16)));
        assert_eq!((version_of("BASH_COMPLETION_VERSINFO=()"), version_of("")), (None, None));
    }
}
