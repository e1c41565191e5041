//! Texts of servers in messages, which repeat a part of them at most.

use awsb_model::words;

/// The longest text of a server that a message repeats, in bytes.
pub const MAX_TEXT: usize = 2048;
/// The longest code or address of a server that a message repeats, in bytes.
pub const MAX_CODE: usize = 256;

/// A text of a server, cut where it is longer than this many bytes.
pub fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest);
    let rest = words::many(text.len() - end, "byte");
    format!("{} … (and {rest} more)", text.get(..end).unwrap_or_default())
}

/// The number of characters of a title that are shown.
pub const LONGEST_TITLE: usize = 80;

/// The beginning of a text on one line, which is printed as it is where there is no terminal.
/// `None`: it has no words.
pub fn beginning_of(text: &str) -> Option<String> {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    let title: String = words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_TITLE).collect();
    Some(title).filter(|title| !title.is_empty())
}
