//! Reads a bundle: finds the script that was staged for a job.

use std::ffi::OsString;
use std::io::{self, Read, Seek, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;

use super::launcher::{self, BUNDLE_VARIABLE, LINES_FILE, SCRIPT_VARIABLE, START_FILE};

/// The place of a job's bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The gzipped archive is in the job itself.
    Inline(Vec<u8>),
    /// A script without an archive is in the job itself.
    Script(Vec<u8>),
    /// The archive is in S3.
    Fetched {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
}

impl Carried {
    /// The bundle of a job with these environment variables, if it has one.
    pub fn of<'v>(environment: impl IntoIterator<Item = (&'v str, &'v str)>) -> Option<Self> {
        let mut variables = environment.into_iter();
        let (name, value) = variables.find(|(name, _)| [BUNDLE_VARIABLE, SCRIPT_VARIABLE].contains(name))?;
        if name == SCRIPT_VARIABLE {
            return Some(Self::Script(value.into()));
        }
        match value.strip_prefix("s3://") {
            Some(place) => {
                let (bucket, key) = place.split_once('/')?;
                Some(Self::Fetched { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            None => BASE64_STANDARD.decode(value).ok().map(Self::Inline),
        }
    }
}

/// Whether the key of an object contains this SHA-256, as the keys of bundles do.
pub fn is_named(key: &str, sha256: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.split_once('.').is_some_and(|(hash, _)| hash == sha256)
}

/// The size in bytes to which a bundle is unpacked at most. Its content comes from the submitter,
/// and gzip packs a thousand bytes into one.
pub const MOST_UNPACKED: u64 = 256 << 20;
/// The size in bytes of a start that is held in memory at most. Linux starts no program with more
/// than 6 MiB of variables (execve(2)).
const MOST_HELD: u64 = 8 << 20;

/// Writes the script in a bundle to `out`, byte for byte. `false`: there is no script, because the
/// bundle belongs to a command. Nothing is written before a script is found, and only a part of the
/// script is in memory at any time.
///
/// # Errors
/// When the data is not a bundle, or is damaged or larger than 256 MiB; when `out` cannot be
/// written.
pub fn script(bundle: impl Read + Seek, out: &mut impl Write) -> io::Result<bool> {
    script_within(MOST_UNPACKED, bundle, out)
}

fn script_within(most: u64, mut bundle: impl Read + Seek, out: &mut impl Write) -> io::Result<bool> {
    let Some(place) = place_of_script(entries(&mut bundle, most))? else { return Ok(false) };
    bundle.rewind()?;
    let mut archive = entries(&mut bundle, most);
    for (number, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry?;
        if number == place {
            io::copy(&mut entry, out)?;
            return Ok(true);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The variables in a bundle, which were too large for the request. Bytes that are not UTF-8 become
/// `�`.
///
/// # Errors
/// When the data is not a bundle, or is damaged or larger than 256 MiB; when its start has more
/// than 8 MiB.
pub fn variables(bundle: impl Read) -> io::Result<Vec<(String, String)>> {
    let mut archive = entries(bundle, MOST_UNPACKED);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if *entry.path_bytes() == *START_FILE.as_bytes() {
            let start = start(&mut entry)?;
            let text = |text: OsString| text.to_string_lossy().into_owned();
            let packed = launcher::packed_variables(&start).into_iter();
            return Ok(packed.map(|(name, value)| (text(name), text(value))).collect());
        }
    }
    Ok(Vec::new())
}

/// The text of the start.
fn start(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    // A part of it must not be shown as the whole.
    match entry.take(MOST_HELD + 1).read_to_end(&mut start)? as u64 {
        0..=MOST_HELD => Ok(start),
        _ => Err(io::Error::other(format!("its start has more than {} MiB", MOST_HELD >> 20))),
    }
}

/// The entries of a bundle, which is unpacked to at most `most` bytes.
fn entries<R: Read>(bundle: R, most: u64) -> tar::Archive<Limited<GzDecoder<R>>> {
    tar::Archive::new(Limited { reader: GzDecoder::new(bundle), most, read: 0 })
}

/// The number of the entry that is the script, if there is one. `stage::plan` packs inputs, awsb's
/// own programs, the script, the tasks' lines and the start, in this order.
fn place_of_script(mut archive: tar::Archive<impl Read>) -> io::Result<Option<usize>> {
    let mut last = None;
    // In raw mode, names that do not fit into a header are not read into memory, whatever their
    // length.
    for (number, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        if path == START_FILE.as_bytes() {
            let start = start(&mut entry)?;
            return Ok(last.filter(|_| launcher::starts_a_script(&start)));
        }
        if path != LINES_FILE.as_bytes() {
            last = Some(number);
        }
    }
    Ok(None)
}

/// A reader that returns at most this many bytes, and then an error.
pub struct Limited<R> {
    reader: R,
    most: u64,
    read: u64,
}

impl<R> Limited<R> {
    /// A reader that gives at most `most` bytes.
    pub fn new(reader: R, most: u64) -> Self {
        Self { reader, most, read: 0 }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.read += n as u64;
        if self.read > self.most {
            let most = self.most >> 20;
            return Err(io::Error::other(format!("it has more than {most} MiB when it is unpacked")));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Bundle;
    use crate::payload::BundleEntry;

    #[test]
    fn bundles_in_the_request_and_in_s3() {
        let of = |value: &str| Carried::of([("A", "1"), (BUNDLE_VARIABLE, value)]);
        assert_eq!(of("aGk="), Some(Carried::Inline(b"hi".into())));
        let fetched = Carried::Fetched { bucket: "b".into(), key: "p/bundles/x.tar.gz".into() };
        assert_eq!(of("s3://b/p/bundles/x.tar.gz"), Some(fetched));
        assert_eq!((of("?"), of("s3://b"), Carried::of([("A", "1")])), (None, None, None));
        let plain = Carried::of([("A", "1"), (SCRIPT_VARIABLE, "s3://\n")]);
        assert_eq!(plain, Some(Carried::Script("s3://\n".into())));
    }

    fn unpacked(bundle: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        let has_script = script(io::Cursor::new(bundle), &mut out)?;
        assert!(has_script || out.is_empty());
        Ok(has_script.then_some(out))
    }

    #[test]
    fn no_bundle_is_no_panic() -> io::Result<()> {
        assert!(unpacked(b"").is_err() && unpacked(b"no gzip").is_err());
        let entry = |path| BundleEntry { path, mode: 0o600, contents: b"x" };
        let other = Bundle::pack(&[], &[entry("a"), entry(START_FILE)])?;
        assert_eq!(unpacked(other.bytes())?, None, "the start starts no script");
        assert_eq!(unpacked(Bundle::pack(&[], &[entry("a")])?.bytes())?, None);
        let bytes = other.bytes();
        assert!(unpacked(&bytes[..bytes.len() / 2]).is_err());
        Ok(())
    }

    #[test]
    fn the_script_is_what_stands_before_the_lines_and_the_start() -> io::Result<()> {
        let start = launcher::bare(include_str!("launcher/check.sh"));
        let long = "n".repeat(200);
        let pack = |name: &str, lines: bool| {
            let mut entries = Vec::new();
            for (path, text) in
                [("input", "no"), (name, "yes\0\u{e9}"), (LINES_FILE, "no"), (START_FILE, start.as_str())]
            {
                if lines || path != LINES_FILE {
                    entries.push(BundleEntry { path, mode: 0o600, contents: text.as_bytes() });
                }
            }
            Bundle::pack(&[], &entries)
        };
        for (name, lines) in [("a.sh", false), ("a.sh", true), (long.as_str(), true)] {
            let script = unpacked(pack(name, lines)?.bytes())?;
            assert_eq!(script.as_deref(), Some("yes\0\u{e9}".as_bytes()), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_start_is_read_whole_or_not_at_all() -> io::Result<()> {
        let check = launcher::bare(include_str!("launcher/check.sh"));
        for (length, is_whole) in [(2 << 20, true), (MOST_HELD, false)] {
            let value = "x".repeat(usize::try_from(length).unwrap_or_default());
            let start = format!("export A={value}\nset -- ./a.sh\n{check}");
            let entry = |path, contents| BundleEntry { path, mode: 0o600, contents };
            let bundle = Bundle::pack(&[], &[entry("a.sh", b"x"), entry(START_FILE, start.as_bytes())])?;
            let (script, variables) = (unpacked(bundle.bytes()), variables(bundle.bytes()));
            if is_whole {
                assert_eq!(script?.as_deref(), Some(&b"x"[..]));
                assert!(variables? == [("A".to_owned(), value)]);
            } else {
                for e in [script.unwrap_err(), variables.unwrap_err()] {
                    assert_eq!(e.to_string(), "its start has more than 8 MiB");
                }
            }
        }
        Ok(())
    }

    /// An archive of entries that are zeros, each under its header.
    fn zeros(entries: &[(&str, tar::EntryType, u64)], end: &[u8]) -> io::Result<Vec<u8>> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for (path, kind, size) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_path(path)?;
            header.set_entry_type(*kind);
            header.set_size(*size);
            header.set_cksum();
            gzip.write_all(header.as_bytes())?;
            io::copy(&mut io::repeat(0).take(size.next_multiple_of(512)), &mut gzip)?;
        }
        gzip.write_all(end)?;
        gzip.finish()
    }

    #[test]
    fn a_bomb_is_given_up() -> io::Result<()> {
        let most = 2 << 20;
        let unpack = |packed: &[u8]| script_within(most, io::Cursor::new(packed), &mut io::sink());
        for kind in [tar::EntryType::Regular, tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let e = unpack(&zeros(&[("a", kind, most)], &[])?).unwrap_err();
            assert_eq!(e.to_string(), "it has more than 2 MiB when it is unpacked", "{kind:?}");
            assert!(!unpack(&zeros(&[("a", kind, most / 2)], &[0; 1024])?)?, "{kind:?}");
        }
        Ok(())
    }
}
