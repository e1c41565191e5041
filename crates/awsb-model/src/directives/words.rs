//! Splits a line into words, with quotes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The rules for quotes, backslashes and comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// The shell's rules: nothing is special in single quotes, and a `#` at the beginning of a word
    /// begins a comment.
    Shell,
    /// sbatch's rules (`src/sbatch/opt.c`, `_get_argument`): a backslash escapes in any quotes, and
    /// an unquoted `#` begins a comment, even within a word.
    Slurm,
}

/// A quote that a line opens and does not close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quote {} is never closed", char::from(*.0))]
pub struct Unclosed(u8);

/// Splits a line into words at white space.
pub fn split(line: &[u8], quoting: Quoting) -> Result<Vec<OsString>, Unclosed> {
    let mut words = Vec::new();
    // `None` between words: an empty word in quotes is a word.
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<u8> = None;
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let plain = match (byte, quote) {
            (_, Some(open)) if byte == open => {
                quote = None;
                continue;
            }
            // sbatch ends a word at white space all the same (tested with 22.05).
            (b'\\', None) if quoting == Quoting::Slurm => match bytes.next_if(|b| !b.is_ascii_whitespace()) {
                Some(escaped) => escaped,
                None => continue,
            },
            (b'\\', None) => bytes.next().unwrap_or(b'\\'),
            (b'\\', Some(_)) if quoting == Quoting::Slurm => bytes.next().unwrap_or(b'\\'),
            (b'\\', Some(b'"')) => {
                bytes.next_if(|b| matches!(b, b'"' | b'\\' | b'$' | b'`')).unwrap_or(b'\\')
            }
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
                continue;
            }
            (b'#', None) if word.is_none() || quoting == Quoting::Slurm => break,
            (_, None) if byte.is_ascii_whitespace() => {
                words.extend(word.take().map(OsString::from_vec));
                continue;
            }
            _ => byte,
        };
        word.get_or_insert_default().push(plain);
    }
    words.extend(word.map(OsString::from_vec));
    quote.map_or(Ok(words), |open| Err(Unclosed(open)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str, quoting: Quoting) -> Vec<String> {
        let words = split(line.as_bytes(), quoting).unwrap_or_default();
        words.into_iter().filter_map(|w| w.into_string().ok()).collect()
    }

    #[test]
    fn quotes_and_comments() {
        for quoting in [Quoting::Shell, Quoting::Slurm] {
            assert_eq!(words("-J a  -n\t4", quoting), ["-J", "a", "-n", "4"]);
            assert_eq!(
                words(r#"-R "span[hosts=1] x" 'a "b"'"#, quoting),
                ["-R", "span[hosts=1] x", "a \"b\""]
            );
            assert_eq!(words("-t 10 # ten minutes", quoting), ["-t", "10"]);
            assert_eq!(words(r##"--comment="a # b" x"##, quoting), ["--comment=a # b", "x"]);
            assert_eq!(words(r"\#x '' y", quoting), ["#x", "", "y"]);
            assert_eq!(split(b"-J 'a", quoting), Err(Unclosed(b'\'')));
        }
        assert_eq!(words(r"c\ d", Quoting::Shell), ["c d"]);
        assert_eq!(words(r#"c\ d e\"f \"#, Quoting::Slurm), ["c", "d", "e\"f"]);
        assert_eq!(words("a#b", Quoting::Shell), ["a#b"]);
        assert_eq!(words("a#b c", Quoting::Slurm), ["a"]);
        assert_eq!(words(r"'a\b' x\", Quoting::Shell), [r"a\b", r"x\"]);
        assert_eq!(words(r#""a\b\"c""#, Quoting::Shell), [r#"a\b"c"#]);
        assert_eq!(words(r"'a\'b'", Quoting::Slurm), ["a'b"]);
    }

    proptest! {
        #[test]
        fn what_a_shell_would_quote_comes_back(words in proptest::collection::vec("[ -~]{0,12}", 0..5)) {
            let line: String = words.iter().map(|w| format!("'{}' ", w.replace('\'', r"'\''"))).collect();
            let found = split(line.as_bytes(), Quoting::Shell);
            prop_assert_eq!(found, Ok(words.into_iter().map(OsString::from).collect()));
        }
    }
}
