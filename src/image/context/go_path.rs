//! Paths and patterns as Go reads them: bytes that are mostly UTF-8.

/// The first character and its length. A byte that is not UTF-8 is a `U+FFFD` of length 1.
pub fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let longest = &bytes[..bytes.len().min(4)];
    let good = match std::str::from_utf8(longest) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&longest[..e.valid_up_to()]).unwrap_or(""),
    };
    Some(good.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

/// The characters of a path or a pattern.
pub fn characters(bytes: &[u8]) -> impl Iterator<Item = char> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (c, length) = decode(rest)?;
        rest = &rest[length..];
        Some(c)
    })
}

/// The text without white space at both ends (Go's `strings.TrimSpace`).
pub fn trim(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

/// The shortest equivalent path (Go's `path.Clean`).
pub fn clean(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.starts_with(b"/");
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => match names.last() {
                Some(last) if *last != b".." => drop(names.pop()),
                // The root has no parent.
                _ if is_rooted => {}
                _ => names.push(name),
            },
            name => names.push(name),
        }
    }
    let relative = names.join(&b'/');
    match (is_rooted, relative.is_empty()) {
        (true, _) => [b"/", relative.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => relative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_paths() {
        for (path, expected) in [
            ("", "."),
            ("a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../a/../..", "../.."),
            ("/../a", "/a"),
            ("//", "/"),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn first_characters() {
        assert_eq!(decode(b"ab"), Some(('a', 1)));
        assert_eq!(decode("\u{20ac}x".as_bytes()), Some(('\u{20ac}', 3)));
        assert_eq!(decode(b"\xe2\x82"), Some((char::REPLACEMENT_CHARACTER, 1)));
        assert_eq!(decode(b""), None);
        assert_eq!(trim("\u{a0} a \u{2003}".as_bytes()), b"a");
    }
}
