//! Go's regular expressions, as far as Docker generates them from a pattern.
//!
//! Docker copies the backslashes and the brackets of a pattern into a regular expression of Go, and
//! puts expressions of its own between them (`moby/patternmatcher`, `compile`), even within
//! brackets. A pattern therefore means the same as that text in Go (`regexp/syntax`). The crate
//! `regex-automata` has the same language with a few other spellings, so this module translates the
//! text. Both engines take linear time, even for a bad pattern.

use std::borrow::Cow;

use regex_automata::meta::{Config, Regex};

use super::go_path::characters;

/// A regular expression that is anchored at the beginning of the path.
#[derive(Debug, Clone)]
pub struct GoRegexp(Regex);

/// The text is not a pattern in Go, or has a syntax that nobody writes into a pattern (`\pL`,
/// `\Q`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern;

/// The names of ASCII classes, as in `[:alpha:]`. `regex-automata` has the same names with the same
/// characters.
const ASCII_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

impl GoRegexp {
    /// Compiles the text that follows `^`.
    ///
    /// # Errors
    /// When Go would refuse the text.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        // The length of the line in the user's own file is limit enough.
        let config = Config::new().nfa_size_limit(None);
        let regex = Regex::builder().configure(config).build(&translate(text)?);
        regex.map(Self).map_err(|_| BadPattern)
    }

    /// Whether it matches a path.
    pub fn is_match(&self, path: &[u8]) -> bool {
        self.0.is_match(&*to_text(path))
    }
}

/// The path as Go reads it: each byte that is not UTF-8 is a `U+FFFD` of its own.
fn to_text(path: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(path) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(characters(path).collect())
}

/// The expression in the spelling of `regex-automata`.
fn translate(text: &str) -> Result<String, BadPattern> {
    let mut regex = String::from("^");
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\\' => translate_escape(rest, &mut regex)?,
            '[' => translate_class(rest, &mut regex)?,
            c => {
                // Docker escapes these characters if the pattern has them. Unescaped, they are
                // Docker's own operators.
                if "^$.*?()".contains(c) {
                    regex.push(c)
                } else {
                    push_literal(&mut regex, c)
                }
                &rest[c.len_utf8()..]
            }
        };
    }
    Ok(regex)
}

/// Translates a backslash and the characters that belong to it, and returns the rest.
fn translate_escape<'a>(text: &'a str, regex: &mut String) -> Result<&'a str, BadPattern> {
    if let Some((class, rest)) = perl_class(text) {
        regex.push_str(class);
        return Ok(rest);
    }
    regex.push_str(match text[1..].chars().next() {
        Some('A') => r"\A",
        Some('z') => r"\z",
        // Go's words consist of ASCII characters.
        Some('b') => r"(?-u:\b)",
        Some('B') => r"(?-u:\B)",
        _ => {
            let (c, rest) = escaped_char(text)?;
            push_literal(regex, c);
            return Ok(rest);
        }
    });
    Ok(&text[2..])
}

/// Perl's classes. In Go they consist of ASCII characters, without the vertical tab.
fn perl_class(text: &str) -> Option<(&'static str, &str)> {
    let class = match text.strip_prefix('\\')?.chars().next()? {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r\x20]",
        'S' => r"[^\t\n\f\r\x20]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    };
    Some((class, &text[2..]))
}

/// Reads an escaped character. Returns the character that it stands for, and the rest.
fn escaped_char(text: &str) -> Result<(char, &str), BadPattern> {
    let mut chars = text.strip_prefix('\\').unwrap_or(text).chars();
    let first = chars.next().ok_or(BadPattern)?;
    let rest = chars.as_str();
    let is_octal = |c: char| ('0'..='7').contains(&c);
    let c = match first {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        // One digit from `1` to `7` alone would be a backreference, which Go does not have.
        '0'..='7' if first == '0' || rest.starts_with(is_octal) => {
            let more = rest.chars().take(2).take_while(|c| is_octal(*c)).count();
            let digits = text.get(1..2 + more).ok_or(BadPattern)?;
            return Ok((code_point(digits, 8)?, &rest[more..]));
        }
        'x' => {
            let digits =
                rest.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(BadPattern)?;
            return Ok((code_point(digits, 16)?, &rest[2..]));
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return Err(BadPattern),
    };
    Ok((c, rest))
}

fn code_point(digits: &str, radix: u32) -> Result<char, BadPattern> {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).ok_or(BadPattern)
}

/// Translates a class in brackets, and returns the rest. In Go, a `[`, `&&`, `--` or `~~` within
/// brackets are characters.
fn translate_class<'a>(text: &'a str, regex: &mut String) -> Result<&'a str, BadPattern> {
    regex.push('[');
    let mut rest = &text[1..];
    if let Some(tail) = rest.strip_prefix('^') {
        regex.push('^');
        rest = tail;
    }
    let mut is_first = true;
    while is_first || !rest.starts_with(']') {
        is_first = false;
        if let Some((name, tail)) = rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
            if !ASCII_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return Err(BadPattern);
            }
            regex.extend(["[:", name, ":]"]);
            rest = tail;
        } else if let Some((class, tail)) = perl_class(rest) {
            regex.push_str(class);
            rest = tail;
        } else {
            let (low, tail) = class_char(rest)?;
            push_literal(regex, low);
            rest = tail;
            if let Some(range) =
                rest.strip_prefix('-').filter(|range| !range.is_empty() && !range.starts_with(']'))
            {
                let (high, tail) = class_char(range)?;
                regex.push('-');
                push_literal(regex, high);
                rest = tail;
            }
        }
    }
    regex.push(']');
    Ok(&rest[1..])
}

fn class_char(text: &str) -> Result<(char, &str), BadPattern> {
    let mut chars = text.chars();
    match chars.next().ok_or(BadPattern)? {
        '\\' => escaped_char(text),
        c => Ok((c, chars.as_str())),
    }
}

/// Writes a character so that it stands for itself, within brackets and outside of them.
fn push_literal(regex: &mut String, c: char) {
    if c.is_alphanumeric() {
        regex.push(c);
    } else {
        regex.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(text: &str, path: &[u8]) -> Result<bool, BadPattern> {
        GoRegexp::new(&format!("{text}$")).map(|regexp| regexp.is_match(path))
    }

    /// The answers of Go's `regexp`.
    #[test]
    fn as_go_does() {
        for (text, path, expected) in [
            ("a[^/]*", "abc", true),
            ("a[^/]*", "ab/c", false),
            ("[^/]", "\u{e9}", true),
            ("(.*/)?x", "x", true),
            ("(.*/)?x", "a/b/x", true),
            ("(.*/)?x", "a/bx", false),
            ("(.*/)?x", "a\nb/x", false),
            ("(.*/)?(.*/)?x", "a/b/x", true),
            ("a(.*/)?[^/]*", "a/b/c", true),
            ("a.*", "a\nb", false),
            ("a.*", "a/b", true),
            ("a^b[^/]*", "a^b", false),
            ("^a[^/]*", "a", true),
            (r"\d\D", "1x", true),
            (r"\d\D", "x1", false),
            (r"[\d-]x", "-x", true),
            (r"a\.b", "a.b", true),
            (r"\x41\101\n", "AA\n", true),
            (r"a\b/\bb", "a/b", true),
            (r"a\bb", "ab", false),
            ("[[:upper:]]", "A", true),
            ("[[:^upper:]]", "A", false),
            ("[a-c]]", "b]", true),
            // A star or a question mark within brackets.
            ("[[^/]*]", "[^/]", true),
            ("[[^/]*]", "x]", false),
            ("[[^/]]", "/]", true),
            ("[^a]", "/", true),
            // ASCII alone, and no vertical tab.
            (r"\w", "\u{e9}", false),
            (r"\W", "\u{e9}", true),
            (r"\s", "\x0b", false),
            ("[[:space:]]", "\x0b", true),
            (r"\d", "\u{663}", false),
            (r"\b\w", "a", true),
            ("\u{e9}\\Ba", "\u{e9}a", false),
            // Operators of other engines.
            ("[a&&b]", "&", true),
            ("[a-c--b]", "b", true),
            ("[a[b]", "[", true),
            ("[a~~b]", "~", true),
            (r"\<a\>", "<a>", true),
            (r"\b\{start\}", "{start}", false),
            (r"a\b\{start\}", "a{start}", true),
        ] {
            assert_eq!(is_match(text, path.as_bytes()), Ok(expected), "{text} {path}");
        }
        for text in [r"\y", r"\1", r"\pL", r"\Qx", "[z-a]", "[a", "[[:no:]]", "\\\u{e9}"] {
            assert!(is_match(text, b"x").is_err(), "{text}");
        }
        assert!(GoRegexp::new("\\").is_err());
    }

    /// Each byte that is not UTF-8 is one character.
    #[test]
    fn paths_that_are_not_utf8() {
        for (text, path, expected) in [
            ("[^/]", b"\xff".as_slice(), true),
            ("[^/]", b"\xe2\x82", false),
            ("[^/][^/]", b"\xe2\x82", true),
            ("a.b", b"a\xffb", true),
            ("\u{fffd}", b"\xff", true),
        ] {
            assert_eq!(is_match(text, path), Ok(expected), "{text} {path:?}");
        }
    }

    #[test]
    fn a_bad_pattern_takes_no_longer() {
        let text = "(.*/)?[^/]*".repeat(60) + "x";
        let path = "a/".repeat(2000) + "y";
        let begun = std::time::Instant::now();
        assert_eq!(is_match(&text, path.as_bytes()), Ok(false));
        assert!(begun.elapsed().as_secs() < 5);
    }
}
