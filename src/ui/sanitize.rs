//! Foreign text on a terminal: nothing in it may steer the terminal.

use std::borrow::Cow;

/// A text that is safe to print on a terminal: nothing in it moves the cursor, changes colours, or
/// hides or reverses the text beside it. A control character becomes its picture (`␛`), and any
/// other invisible character becomes `�`.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| picture(c) != c) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(picture).collect())
}

/// JSON of the same value that is safe to print on a terminal. A character that [`sanitize()`]
/// would change is written as `\uXXXX`. The line breaks between its parts stay.
pub fn sanitize_json(json: &str) -> Cow<'_, str> {
    let is_harmless = |c: char| c == '\n' || picture(c) == c;
    if json.chars().all(is_harmless) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_harmless(c) {
            text.push(c);
            continue;
        }
        // Beyond 16 bits it takes a pair (RFC 8259, section 7).
        for unit in c.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(text)
}

/// The character that is printed in place of a character.
fn picture(c: char) -> char {
    match c {
        // Unicode, block "Control Pictures", in the order of the characters that they picture.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'),
        '\x7f' => '␡',
        _ if c.is_control() || is_invisible(c) => '�',
        _ => c,
    }
}

/// Whether a character is invisible and changes how others look (Unicode Standard Annex 9 for the
/// directional ones, chapter 23 for the others).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A line that is safe to print on a terminal. Colours stay, and end with the line. Everything else
/// that would steer the terminal is made visible: control characters as `^[`, those beyond ASCII
/// and those that reverse the direction of writing as `<9b>`. Tabs and line breaks stay. A carriage
/// return at the end is removed.
pub fn sanitize_line(line: &str) -> Cow<'_, str> {
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

/// The length of the escape sequence at the beginning if it only sets colours and the like
/// (ECMA-48, SGR).
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
    fn nothing_that_a_terminal_acts_upon_gets_through() {
        assert_eq!(sanitize("plain é 日本 ✓"), "plain é 日本 ✓");
        assert!(matches!(sanitize("plain"), Cow::Borrowed(_)));
        assert_eq!(sanitize("\x1b[31mred\x07\t\r\n\x7f"), "␛[31mred␇␉␍␊␡");
        assert_eq!(sanitize("a\u{202e}b\u{200b}c\u{9b}31m\u{feff}"), "a�b�c�31m�");
    }

    #[test]
    fn json_is_harmless_and_means_the_same() {
        assert!(matches!(sanitize_json("{\n  \"a\": \"é 日本\"\n}"), Cow::Borrowed(_)));
        assert_eq!(
            sanitize_json("\"\u{9b}2J\u{7f}\u{202e}x\u{e0041}\""),
            r#""\u009b2J\u007f\u202ex\udb40\udc41""#
        );
    }

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
            assert_eq!(sanitize_line(line), seen);
        }
    }

    proptest::proptest! {
        #[test]
        fn json_on_a_terminal_is_the_same_value(text in ".{0,20}|[\\x00-\\xa0\\u{2000}-\\u{2070}]{0,20}") {
            let json = serde_json::to_string_pretty(&[&text]).unwrap_or_default();
            let shown = sanitize_json(&json).into_owned();
            proptest::prop_assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || is_invisible(c))));
            proptest::prop_assert_eq!(serde_json::from_str::<Vec<String>>(&shown).ok(), Some(vec![text]));
        }

        #[test]
        fn sanitized_text_has_no_control_characters(text in ".{0,20}|[\\x00-\\xa0\\u{2000}-\\u{2070}]{0,20}") {
            let shown = sanitize(&text);
            proptest::prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
            proptest::prop_assert_eq!(shown.chars().count(), text.chars().count());
        }

        #[test]
        fn nothing_but_colours_reaches_the_terminal(line in "[\\x00-\\x7f\\x1b\\[m;0-9\u{80}-\u{9f}é]{0,20}") {
            let mut text = sanitize_line(&line).into_owned();
            while let Some(at) = text.find('\x1b') {
                let length = colour(&text[at..]);
                proptest::prop_assert!(length.is_some(), "{:?}", text);
                text.replace_range(at..at + length.unwrap_or(1), "");
            }
            proptest::prop_assert!(!text.chars().any(|c| c.is_control() && c != '\t' && c != '\n'), "{:?}", text);
        }
    }
}
