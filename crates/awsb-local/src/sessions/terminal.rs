//! Pseudo-terminals.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::net::unix::pipe::{Receiver, Sender};

use awsb_model::session_frames::WindowSize;

/// The byte that the end of input is on a terminal: Ctrl-D (termios(3), VEOF).
pub const END_OF_INPUT: u8 = 4;

/// The server's end of a terminal. Its programs get SIGHUP when all three parts are gone.
#[derive(Debug)]
pub struct Master {
    /// The keys that are typed.
    pub input: Sender,
    /// The text that the programs write.
    pub output: Receiver,
    /// Its size.
    pub size: Size,
}

/// The size of a terminal.
#[derive(Debug)]
pub struct Size(OwnedFd);

/// Opens a terminal of this size: the server's end, and the end of the programs.
///
/// # Errors
/// When the system has no more terminals or descriptors.
pub fn open(size: WindowSize) -> io::Result<(Master, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    fcntl_setfd(&master, FdFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let programs = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty())?;
    // The duplicates have it as well.
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    // They only read, write and wait, which is the same for a terminal as for a pipe.
    let master = Master {
        input: Sender::from_file_unchecked(File::from(master.try_clone()?))?,
        output: Receiver::from_file_unchecked(File::from(master.try_clone()?))?,
        size: Size(master),
    };
    // macOS takes a size only once the other end is open.
    master.size.set(size);
    Ok((master, programs))
}

impl Size {
    /// Sets it. The programs get SIGWINCH when it is another one.
    pub fn set(&self, size: WindowSize) {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        if let Err(e) = tcsetwinsize(&self.0, size) {
            tracing::warn!("setting the size of a terminal: {e}");
        }
    }
}
