//! A line of somebody else's text on a terminal.

use std::borrow::Cow;

/// The line as a terminal may have it. Colours stay (and end with the line); what else would steer the terminal is made
/// visible: control characters as `^[`, those beyond ASCII and the ones that turn the direction of writing as `<9b>`.
/// Tabs and line breaks stay, and a carriage return at the end goes.
pub fn harmless_line(line: &str) -> Cow<'_, str> {
    if !line.chars().any(|c| c != '\t' && c != '\n' && is_control(c)) {
        return Cow::Borrowed(line);
    }
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut text = String::with_capacity(line.len() + 8);
    let mut coloured = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            let (sequence, behind) = rest.split_at(length);
            text.push_str(sequence);
            coloured = true;
            rest = behind;
            continue;
        }
        match c {
            '\t' | '\n' => text.push(c),
            '\u{7f}' => text.push_str("^?"),
            c if c.is_ascii_control() => {
                text.push('^');
                text.push(char::from(c as u8 + b'@'));
            }
            c if is_control(c) => text.push_str(&format!("<{:x}>", u32::from(c))),
            c => text.push(c),
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    if coloured {
        text.push_str("\x1b[0m");
    }
    Cow::Owned(text)
}

/// The length of the sequence at the beginning that sets colours and the like, and nothing else: ECMA-48's SGR.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'))?;
    (parameters.get(end..)?.starts_with('m')).then_some("\x1b[".len() + end + 1)
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_the_rest_is_seen() {
        for (line, seen) in [
            ("plain\tü", "plain\tü"),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
            ("\x1b[2J\x1b]0;title\x07", "^[[2J^[]0;title^G"),
            ("10%\r20%\r", "10%^M20%"),
            ("a\u{9b}2Jb\u{202e}c\u{7f}\0", "a<9b>2Jb<202e>c^?^@"),
            ("\x1b[38:5:1mx\x1b[", "\x1b[38:5:1mx^[[\x1b[0m"),
        ] {
            assert_eq!(harmless_line(line), seen);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_colours_reaches_the_terminal(line in "[\\x00-\\x7f\\x1b\\[m;0-9\u{80}-\u{9f}é]{0,20}") {
            let mut text = harmless_line(&line).into_owned();
            while let Some(at) = text.find('\x1b') {
                let length = colour(&text[at..]);
                proptest::prop_assert!(length.is_some(), "{:?}", text);
                text.replace_range(at..at + length.unwrap_or(1), "");
            }
            proptest::prop_assert!(!text.chars().any(|c| c.is_control() && c != '\t' && c != '\n'), "{:?}", text);
        }
    }
}
