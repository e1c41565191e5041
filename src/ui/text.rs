//! Text on a terminal: what may be printed there, and how much room it takes.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

/// The text as a terminal may have it: nothing in it moves the cursor, changes colours, hides or turns around what
/// is beside it. A control character becomes its picture (`␛`), other characters that do not show become `�`.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| picture(c) != c) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(picture).collect())
}

/// JSON as a terminal may have it, and of the same value: what [`harmless`] would change is written as `\uXXXX`. The
/// line breaks between its parts stay.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
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

/// What stands for a character on a terminal.
fn picture(c: char) -> char {
    match c {
        // Unicode, block "Control Pictures", in the order of the characters that they picture.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'),
        '\x7f' => '␡',
        _ if c.is_control() || is_invisible(c) => '�',
        _ => c,
    }
}

/// Characters that do not show and change how others do (Unicode Standard Annex 9 for the directional ones, chapter 23
/// for the others).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A line in lines of at most so many columns, broken between words; what follows the first is indented a little more. A
/// word that has no room in a line of its own stays whole, as it may be copied. Without columns it is one line.
pub fn wrapped(line: &str, columns: Option<usize>) -> Vec<String> {
    let Some(columns) = columns.filter(|columns| width(line) > *columns) else {
        return vec![line.to_owned()];
    };
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let behind = " ".repeat(indent + 2);
    let mut lines = Vec::new();
    let mut open = " ".repeat(indent);
    let mut is_empty = true;
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        if !is_empty && width(&open) + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut open, behind.clone()));
            is_empty = true;
        }
        if !is_empty {
            open.push(' ');
        }
        open.push_str(word);
        is_empty = false;
    }
    lines.push(open);
    lines
}

/// The number of columns that a text takes on a terminal (Unicode Standard Annex 11), as far as that
/// can be known without its font. A character of East Asia and an emoji take two, also when the
/// emoji is a sequence of characters.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The longest beginning of a text that takes at most this many columns.
pub fn beginning(text: &str, columns: usize) -> &str {
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let fitting = ends.partition_point(|end| width(&text[..*end]) <= columns);
    &text[..fitting.checked_sub(1).map_or(0, |last| ends[last])]
}

/// A text without its line breaks, which would break a promise of one line; all else is as it was.
pub fn one_line(text: &str) -> String {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    text.trim().replace(breaks, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_upon_gets_through() {
        assert_eq!(harmless("plain é 日本 ✓"), "plain é 日本 ✓");
        assert!(matches!(harmless("plain"), Cow::Borrowed(_)));
        assert_eq!(harmless("\x1b[31mred\x07\t\r\n\x7f"), "␛[31mred␇␉␍␊␡");
        assert_eq!(harmless("a\u{202e}b\u{200b}c\u{9b}31m\u{feff}"), "a�b�c�31m�");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("a b c", None), ["a b c"]);
        assert_eq!(wrapped("a  b c", Some(6)), ["a  b c"]);
        assert_eq!(wrapped("one two three four", Some(9)), ["one two", "  three", "  four"]);
        assert_eq!(wrapped("  one two three", Some(9)), ["  one two", "    three"]);
        assert_eq!(wrapped("a verylongwordindeed b", Some(8)), ["a", "  verylongwordindeed", "  b"]);
        assert_eq!(wrapped("日本 日本 日本", Some(9)), ["日本 日本", "  日本"]);
    }

    #[test]
    fn json_is_harmless_and_means_the_same() {
        assert!(matches!(harmless_json("{\n  \"a\": \"é 日本\"\n}"), Cow::Borrowed(_)));
        assert_eq!(
            harmless_json("\"\u{9b}2J\u{7f}\u{202e}x\u{e0041}\""),
            r#""\u009b2J\u007f\u202ex\udb40\udc41""#
        );
    }

    #[test]
    fn room_that_text_takes() {
        for (text, columns) in [
            ("abc", 3),
            ("é", 1),
            ("e\u{301}", 1),
            ("日本", 4),
            ("…", 1),
            ("␛�", 2),
            ("🦀", 2),
            // Sequences: a skin tone, a family with zero-width joiners, a flag, variation selectors.
            ("👍🏽", 2),
            ("👩\u{200d}👩\u{200d}👧", 2),
            ("🇩🇪", 2),
            ("❤", 1),
            ("❤\u{fe0f}", 2),
            ("⌚", 2),
            ("⌚\u{fe0e}", 1),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn beginnings_that_fit() {
        for (text, columns, expected) in [
            ("abc", 2, "ab"),
            ("abc", 0, ""),
            ("abc", 9, "abc"),
            ("", 1, ""),
            ("a日b", 2, "a"),
            ("a日b", 3, "a日"),
            ("ae\u{301}b", 2, "ae\u{301}"),
            ("👍🏽b", 1, ""),
            ("👍🏽b", 2, "👍🏽"),
        ] {
            assert_eq!(beginning(text, columns), expected, "{text} {columns}");
        }
    }

    proptest::proptest! {
        #[test]
        fn json_on_a_terminal_is_the_same_value(text in ".{0,20}|[\\x00-\\xa0\\u{2000}-\\u{2070}]{0,20}") {
            let json = serde_json::to_string_pretty(&[&text]).unwrap_or_default();
            let shown = harmless_json(&json).into_owned();
            proptest::prop_assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || is_invisible(c))));
            proptest::prop_assert_eq!(serde_json::from_str::<Vec<String>>(&shown).ok(), Some(vec![text]));
        }

        #[test]
        fn a_beginning_fits_and_no_longer_one_does(text in ".{0,20}|[a-c👍🏽日\u{301}]{0,20}", columns in 0_usize..12) {
            let text = harmless(&text);
            let fitting = beginning(&text, columns);
            proptest::prop_assert!(text.starts_with(fitting) && width(fitting) <= columns);
            if let Some(next) = text[fitting.len()..].chars().next() {
                let longer = format!("{fitting}{next}");
                proptest::prop_assert!(width(&longer) > columns, "{}", longer);
            }
        }

        #[test]
        fn what_is_harmless_has_no_control_characters(text in ".{0,20}|[\\x00-\\xa0\\u{2000}-\\u{2070}]{0,20}") {
            let shown = harmless(&text);
            proptest::prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
            proptest::prop_assert_eq!(shown.chars().count(), text.chars().count());
        }
    }
}
