//! Reading a file of settings.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The most bytes of a file of settings. The largest configuration of a cluster has some ten
/// thousand.
const MAX_BYTES: u64 = 8 << 20;

/// The text of a file, or of standard input (`-`).
///
/// # Errors
/// When it cannot be read, is no text, is longer than 8 MiB, or is a FIFO, which may have no
/// writer.
pub fn read_text(path: &Path) -> io::Result<String> {
    if path.as_os_str() == "-" {
        return limited(io::stdin());
    }
    // A FIFO that nobody writes into would block the opening for ever.
    let options = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(options).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return limited(file);
    }
    // `/dev/stdin` and `<(command)` are pipes that have a writer: they are read as any file.
    if path.starts_with("/dev") || path.starts_with("/proc") {
        return limited(File::open(path)?);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a FIFO"))
}

/// The name of a file in messages.
pub fn shown_name(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

fn limited(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let length = source.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if length as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 8 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_has_no_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "text\n").unwrap();
        assert_eq!(read_text(&file).unwrap(), "text\n");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_text(&link).unwrap(), "text\n");
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_text(&fifo).unwrap_err().to_string(), "it is a FIFO");
        assert_eq!(read_text(Path::new("/dev/null")).unwrap(), "");
        assert_eq!(read_text(Path::new("/dev/zero")).unwrap_err().to_string(), "it has more than 8 MiB");
        assert_eq!(read_text(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read_text(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::File::create(&file).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(read_text(&file).unwrap_err().to_string(), "it has more than 8 MiB");
    }
}
