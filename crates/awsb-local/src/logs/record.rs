//! One event in a log stream's file: `TIME MESSAGE`, a line each.
//!
//! TIME is thirteen digits of milliseconds since the epoch, so that a reader can find a time by
//! halving the file. Messages are UTF-8; a line end inside one is written as the byte 0xFF, which
//! UTF-8 never has.

/// The length of the time's digits and of the blank after them.
pub const HEAD: usize = 14;
const LINE_END: u8 = 0xff;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since the epoch.
    pub time: i64,
    /// The message, without a line end of its own.
    pub message: String,
}

/// Appends an event to a buffer. Bytes that are not UTF-8 are replaced.
pub fn append(buffer: &mut Vec<u8>, time: i64, message: &[u8]) {
    use std::io::Write;
    let _ = write!(buffer, "{:013} ", time.clamp(0, 9_999_999_999_999));
    let text = String::from_utf8_lossy(message);
    buffer.extend(text.bytes().map(|b| if b == b'\n' { LINE_END } else { b }));
    buffer.push(b'\n');
}

/// The time of a line of the file.
pub fn time(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line.get(..HEAD - 1)?).ok()?.parse().ok()
}

/// A line of the file, without its end.
pub fn parse(line: &[u8]) -> Option<Event> {
    let mut message = line.get(HEAD..)?.to_vec();
    // Most have none; UTF-8 has no such byte.
    if message.contains(&LINE_END) {
        message.iter_mut().filter(|b| **b == LINE_END).for_each(|b| *b = b'\n');
    }
    Some(Event { time: time(line)?, message: String::from_utf8(message).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_as_they_were() {
        for message in ["", "a", "caf\u{e9} \u{1f600}", "two\nlines", "tab\tand\rreturn\0"] {
            let mut line = Vec::new();
            append(&mut line, 1_763_722_345_678, message.as_bytes());
            assert_eq!(line.pop(), Some(b'\n'));
            assert!(!line.contains(&b'\n'));
            let event = parse(&line).unwrap();
            assert_eq!(event, Event { time: 1_763_722_345_678, message: message.to_owned() });
        }
        assert_eq!(parse(b"not an event"), None);
    }
}
