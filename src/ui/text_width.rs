//! How much room a text takes on a terminal.

use unicode_width::UnicodeWidthStr;

/// A line, broken between words into lines of at most this many columns. The lines after the first
/// are indented by two columns more. A word that is wider than a line stays whole, so that it can
/// be copied. Without columns the result is one line.
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

/// The number of columns that a text takes on a terminal (Unicode Standard Annex 11), as far as
/// that can be known without its font. A character of East Asia and an emoji take two, also when
/// the emoji is a sequence of characters.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The longest beginning of a text that takes at most this many columns.
pub fn beginning(text: &str, columns: usize) -> &str {
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let fitting = ends.partition_point(|end| width(&text[..*end]) <= columns);
    &text[..fitting.checked_sub(1).map_or(0, |last| ends[last])]
}

/// A text with blanks in place of its line breaks, for output that promises one line.
pub fn one_line(text: &str) -> String {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    text.trim().replace(breaks, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn room_that_text_takes() {
        for (text, columns) in [
            ("abc", 3),
            ("é", 1),
            ("e\u{301}", 1),
            ("日本", 4),
            ("…", 1),
            ("␛�", 2),
            ("🦀", 2),
            // Sequences: a skin tone, a family with zero-width joiners, a flag, variation
            // selectors.
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
        fn a_beginning_fits_and_no_longer_one_does(text in ".{0,20}|[a-c👍🏽日\u{301}]{0,20}", columns in 0_usize..12) {
            let text = super::super::sanitize(&text);
            let fitting = beginning(&text, columns);
            proptest::prop_assert!(text.starts_with(fitting) && width(fitting) <= columns);
            if let Some(next) = text[fitting.len()..].chars().next() {
                let longer = format!("{fitting}{next}");
                proptest::prop_assert!(width(&longer) > columns, "{}", longer);
            }
        }
    }
}
