//! `.dockerignore`.

use awsb::image::context::{Matched, Patterns};

/// Reads a `.dockerignore`, and applies it to the path on the last line.
///
/// # Panics
/// When a folder would not be looked into though something in it comes along, or a bad line is not
/// in the file.
pub fn ignore_file(data: &[u8]) {
    let at = data.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let (file, path) = data.split_at(at);
    let patterns = match Patterns::read(file) {
        Ok(patterns) => patterns,
        Err(bad) => {
            let lines = file.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&bad.number), "line {} of {lines}", bad.number);
            return;
        }
    };
    // A path as a folder has it: names with slashes between them.
    let names = path.split(|byte| matches!(byte, b'/' | b'\n'));
    let names: Vec<&[u8]> = names.filter(|name| !matches!(*name, b"" | b"." | b"..")).take(16).collect();
    let mut above: Option<Matched> = None;
    let mut missed = false;
    for depth in 1..=names.len() {
        let path = names[..depth].join(&b'/');
        let (is_out, matched) = patterns.leave_out(&path, above.as_ref());
        assert!(!missed || is_out, "{:?} comes along and is not looked for", String::from_utf8_lossy(&path));
        missed |= is_out && !patterns.may_keep_below(&path);
        above = Some(matched);
    }
}
