//! Go's patterns of file names.

use super::go_path::decode;
use super::go_regexp::BadPattern;

/// Refuses a pattern that Go's `filepath.Match` refuses when it matches it with `.`, as Docker
/// does. Such a pattern has a class that is empty, is not closed, or has a `-` without both ends,
/// or it ends with a backslash. The part after a star is checked only as far as the part before it
/// has matched.
pub fn check(pattern: &[u8]) -> Result<(), BadPattern> {
    let (mut rest, mut name): (&[u8], &[u8]) = (pattern, b".");
    while !rest.is_empty() {
        let stars = rest.iter().take_while(|b| **b == b'*').count();
        let (chunk, tail) = rest[stars..].split_at(end_of_chunk(&rest[stars..]));
        if chunk.is_empty() {
            return Ok(());
        }
        let fits = |left: &&[u8]| left.is_empty() || !tail.is_empty();
        let mut left = match_chunk(chunk, name)?.filter(fits);
        if left.is_none() && stars > 0 && !name.is_empty() {
            left = match_chunk(chunk, b"")?.filter(fits);
        }
        let Some(left) = left else { return Ok(()) };
        (rest, name) = (tail, left);
    }
    Ok(())
}

/// The position of the next star outside of classes.
fn end_of_chunk(text: &[u8]) -> usize {
    let (mut at, mut in_class) = (0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}

/// Matches a name of at most one character with a part of a pattern without stars. Returns the rest
/// of the name.
fn match_chunk<'a>(chunk: &[u8], name: &'a [u8]) -> Result<Option<&'a [u8]>, BadPattern> {
    let (mut rest, mut left) = (chunk, Some(name));
    while let Some((first, tail)) = rest.split_first() {
        // After a mismatch, the pattern is only read on.
        let next = left.and_then(|name| name.split_first());
        let fits;
        (fits, rest) = match first {
            b'[' => class_has(next.map(|(c, _)| char::from(*c)), tail)?,
            b'?' => (true, tail),
            b'\\' => {
                let (literal, tail) = tail.split_first().ok_or(BadPattern)?;
                (next.is_some_and(|(c, _)| c == literal), tail)
            }
            literal => (next.is_some_and(|(c, _)| c == literal), tail),
        };
        left = next.filter(|_| fits).map(|(_, name)| name);
    }
    Ok(left)
}

/// Reads a class after its bracket. Returns whether the class has a character, and the rest of the
/// text.
fn class_has(c: Option<char>, text: &[u8]) -> Result<(bool, &[u8]), BadPattern> {
    let inverted = text.strip_prefix(b"^");
    let (mut rest, mut found, mut is_empty) = (inverted.unwrap_or(text), false, true);
    loop {
        if let (Some(tail), false) = (rest.strip_prefix(b"]"), is_empty) {
            return Ok((found != inverted.is_some(), tail));
        }
        let (low, tail) = member(rest)?;
        let (high, tail) = match tail.strip_prefix(b"-") {
            Some(range) => member(range)?,
            None => (low, tail),
        };
        found |= c.is_some_and(|c| (low..=high).contains(&c));
        (rest, is_empty) = (tail, false);
    }
}

/// Reads a character of a class. Something must follow it.
fn member(text: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    if text.starts_with(b"-") || text.starts_with(b"]") {
        return Err(BadPattern);
    }
    let text = text.strip_prefix(b"\\").unwrap_or(text);
    let (c, length) = decode(text).ok_or(BadPattern)?;
    if (c == char::REPLACEMENT_CHARACTER && length == 1) || length == text.len() {
        return Err(BadPattern);
    }
    Ok((c, &text[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases from the tests of `path/filepath`, for the name `.`.
    #[test]
    fn as_go_does() {
        for bad in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "*[", "a\\", ".[",
            "?[]x]",
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        // The part after a star is checked only if everything before it has matched.
        for good in ["", "*", "[a-z]*", "[\\-x]", "[z-a]", "a*[", "a*\\", "]", "[^.]*[", "\\**"] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        assert!(check(b"[.]*[").is_err() && check(b".*[").is_err());
    }
}
