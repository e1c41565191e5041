//! The files that a `.dockerignore` excludes from a build context, read and matched as Docker does.
//!
//! The rules are those of `moby/patternmatcher` (`ignorefile.ReadAll`, `New`,
//! `MatchesUsingParentResults`). Which excluded folders must be searched follows BuildKit
//! (`tonistiigi/fsutil`, `filter.go`): an excluded folder is searched if an exception has wildcards
//! before its end. Docker's old builder did not search it, and lost such files.

use super::glob::check;
use super::go_path::{characters, clean, trim};
use super::go_regexp::{BadPattern, GoRegexp};

/// The patterns of a file, in order.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    /// The pattern begins with `!`: files that match are included after all.
    is_exception: bool,
    /// The pattern without the `!`.
    text: Vec<u8>,
    how: How,
}

/// How a pattern is compared with a path.
#[derive(Debug, Clone)]
enum How {
    Exact,
    /// `dir/**`: the path begins with this.
    Prefix(Vec<u8>),
    /// `**/name`: the path ends with this.
    Suffix(Vec<u8>),
    Regexp(GoRegexp),
}

/// The patterns that have matched a folder or one above it. The entries of the folder are matched
/// with it.
#[derive(Debug, Clone, Default)]
pub struct Matched(Vec<bool>);

/// A line that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The number of the line, from 1 on.
    pub number: usize,
    /// The text of the line.
    pub text: String,
}

impl Patterns {
    /// Reads a file.
    ///
    /// # Errors
    /// When a line is not a pattern. Docker refuses it, too.
    pub fn read(file: &[u8]) -> Result<Self, BadLine> {
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let mut patterns = Vec::new();
        for (number, line) in (1..).zip(file.split(|b| *b == b'\n')) {
            let bad = |_| BadLine { number, text: String::from_utf8_lossy(trim(line)).into_owned() };
            patterns.extend(Pattern::of_line(line).map_err(bad)?);
        }
        Ok(Self(patterns))
    }

    /// Whether a path is excluded. `above` has the matches of the folder that contains it, and is
    /// `None` at the top.
    pub fn leave_out(&self, path: &[u8], above: Option<&Matched>) -> (bool, Matched) {
        let mut is_out = false;
        let mut matched = vec![false; self.0.len()];
        for (i, pattern) in self.0.iter().enumerate() {
            let with_folder = above.is_some_and(|above| above.0.get(i) == Some(&true));
            // A pattern that cannot change the result is skipped, and counts as not matching below
            // either.
            if !with_folder && pattern.is_exception != is_out {
                continue;
            }
            if with_folder || pattern.matches(path) {
                matched[i] = true;
                is_out = !pattern.is_exception;
            }
        }
        (is_out, Matched(matched))
    }

    /// Whether an excluded folder may contain something that is included.
    pub fn may_keep_below(&self, folder: &[u8]) -> bool {
        let exceptions = || self.0.iter().filter(|p| p.is_exception);
        let begins: Vec<u8> = [folder, b"/"].concat();
        exceptions().any(Pattern::has_wildcards_inside)
            || exceptions().any(|p| [p.without_last_glob(), b"/"].concat().starts_with(&begins))
    }
}

impl Pattern {
    /// The pattern of a line. A comment or a blank line has none.
    fn of_line(line: &[u8]) -> Result<Option<Self>, BadPattern> {
        let text = trim(line);
        if line.starts_with(b"#") || text.is_empty() {
            return Ok(None);
        }
        let is_inverted = text.starts_with(b"!");
        let text = if is_inverted { trim(&text[1..]) } else { text };
        let mut path = if text.is_empty() { Vec::new() } else { clean(text) };
        // The context is the root, so `/x` is `x`.
        if path.len() > 1 && path.starts_with(b"/") {
            path.remove(0);
        }
        let whole = if is_inverted { [b"!", path.as_slice()].concat() } else { path };
        // From here on Docker handles the text as in any list of patterns, with a second set of
        // rules.
        let whole = trim(&whole);
        if whole.is_empty() {
            return Ok(None);
        }
        let whole = clean(whole);
        let (is_exception, text) = match whole.strip_prefix(b"!") {
            Some([]) => return Err(BadPattern),
            Some(text) => (true, text.to_vec()),
            None => (false, whole),
        };
        check(&text)?;
        let how = How::of(&text)?;
        Ok(Some(Self { is_exception, text, how }))
    }

    fn matches(&self, path: &[u8]) -> bool {
        match &self.how {
            How::Exact => path == self.text,
            How::Prefix(head) => path.starts_with(head),
            // `**/name` also matches the name alone.
            How::Suffix(tail) => {
                path.ends_with(tail) || tail.strip_prefix(b"/").is_some_and(|name| path == name)
            }
            How::Regexp(regexp) => regexp.is_match(path),
        }
    }

    fn without_last_glob(&self) -> &[u8] {
        let text = self.text.strip_suffix(b"/**").unwrap_or(&self.text);
        text.strip_suffix(b"/*").unwrap_or(text)
    }

    fn has_wildcards_inside(&self) -> bool {
        self.without_last_glob().iter().any(|b| b"*[]?^\\".contains(b))
    }
}

impl How {
    /// Translates a pattern as Docker does: into a comparison, if that is enough, or into a regular
    /// expression.
    fn of(pattern: &[u8]) -> Result<Self, BadPattern> {
        #[derive(PartialEq)]
        enum MatchKind {
            Exact,
            Prefix,
            Suffix,
            Regexp,
        }
        let (mut kind, mut text) = (MatchKind::Exact, String::new());
        let mut chars = characters(pattern).peekable();
        let mut is_first = true;
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    // `**/` is the same as `**`.
                    let _ = chars.next_if_eq(&'/');
                    kind = if chars.peek().is_some() {
                        text.push_str("(.*/)?");
                        MatchKind::Regexp
                    } else if kind == MatchKind::Exact {
                        MatchKind::Prefix
                    } else {
                        text.push_str(".*");
                        MatchKind::Regexp
                    };
                    if is_first {
                        kind = MatchKind::Suffix;
                    }
                }
                '*' | '?' => {
                    text.push_str(if c == '*' { "[^/]*" } else { "[^/]" });
                    kind = MatchKind::Regexp;
                }
                '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => text.extend(['\\', c]),
                '\\' => {
                    text.push(c);
                    if let Some(next) = chars.next() {
                        text.push(next);
                        kind = MatchKind::Regexp;
                    }
                }
                '[' | ']' => {
                    text.push(c);
                    kind = MatchKind::Regexp;
                }
                c => text.push(c),
            }
            is_first = false;
        }
        Ok(match kind {
            MatchKind::Exact => Self::Exact,
            MatchKind::Prefix => Self::Prefix(pattern[..pattern.len() - 2].to_vec()),
            MatchKind::Suffix => Self::Suffix(pattern[2..].to_vec()),
            // After a backslash, the `$` is an ordinary character.
            MatchKind::Regexp => Self::Regexp(GoRegexp::new(&(text + "$"))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether a path is excluded, determined from the top down.
    fn is_out(file: &str, path: &str) -> bool {
        let patterns = Patterns::read(file.as_bytes()).unwrap();
        let mut above: Option<Matched> = None;
        let mut found = false;
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let (out, matched) = patterns.leave_out(&path.as_bytes()[..at], above.as_ref());
            (found, above) = (out, Some(matched));
        }
        found
    }

    /// Cases from the tests of `moby/patternmatcher`.
    #[test]
    fn as_docker_does() {
        for (pattern, path, expected) in [
            ("**", "file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir", "dir/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir3/file", true),
            ("**file", "dir/dir/file", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("**/*.txt", "file.txt", true),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/*.txt**", "a/file.txt", true),
            ("a[b-d]e", "ae", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "aze", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcZdef", false),
            ("abc?def", "abcZdef", true),
            ("a\\\\", "a\\", true),
            ("a\\*b", "a*b", true),
            ("**/foo/bar", "dir/foo/bar", true),
            ("**/.foo", "bar.foo", false),
            ("a(b)c/def", "a(b)c/def", true),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            ("a*", "ab/c", true),
            ("a?b", "a\u{263a}b", true),
            ("a???b", "a\u{263a}b", false),
            ("[a-\u{3b6}]*", "\u{3b1}", true),
            ("*[a-\u{3b6}]", "A", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("**\n!util/docker/web", "util/docker/web/foo", false),
            ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
            ("**\n!dist/*.whl", "dist/a-2.4+g0.whl", false),
            // How the file is read.
            ("# x\n\n  a  \r\n", "a", true),
            (" # x", "# x", true),
            ("\u{feff}a", "a", true),
            ("/a/../b/./c/", "b/c", true),
            ("../a", "a", false),
            ("*\n! /a", "a", false),
            ("\\!a", "!a", true),
            (".", "a", false),
            ("/", "a", false),
            ("A", "a", false),
            ("a*[]x]", "a]", true),
            ("a*[x-]", "a-", true),
            ("a*\\", "ab$c", true),
        ] {
            assert_eq!(is_out(pattern, path), expected, "{pattern:?} {path:?}");
        }
    }

    #[test]
    fn lines_that_are_no_patterns() {
        for text in [
            "!",
            "!/",
            "[]a]",
            "[-]",
            "[x-]",
            "[-x]",
            "\\",
            "[a-b-c]",
            "[",
            "[^",
            "[^bc",
            "a[",
            "[Local-Only]/",
        ] {
            let found = Patterns::read(format!("a\n{text}\n").as_bytes()).unwrap_err();
            assert_eq!(found, BadLine { number: 2, text: text.to_owned() });
        }
    }

    #[test]
    fn folders_that_have_to_be_looked_into() {
        for (file, folder, expected) in [
            ("*\n!a/b", "a", true),
            ("*\n!a/b", "b", false),
            ("*\n!a/*", "a", true),
            ("*\n!a/**", "a/b", false),
            ("*\n!**/x", "b", true),
            ("*", "a", false),
        ] {
            let patterns = Patterns::read(file.as_bytes()).unwrap();
            assert_eq!(patterns.may_keep_below(folder.as_bytes()), expected, "{file:?} {folder}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(file: Vec<u8>, text in "[!*?a/.\\[\\]^\\\\\\-#\\n b]{0,24}", path in "[a-c/.]{1,12}") {
            for file in [file.as_slice(), text.as_bytes()] {
                if let Ok(patterns) = Patterns::read(file) {
                    let _ = patterns.leave_out(path.as_bytes(), None);
                    let _ = patterns.may_keep_below(path.as_bytes());
                }
            }
        }

        /// A folder that is not searched contains nothing that would be included.
        #[test]
        fn nothing_is_missed(text in "([!]?[*ab?/]{1,5}\\n){1,5}", path in "[ab](/[ab]){1,3}") {
            let Ok(patterns) = Patterns::read(text.as_bytes()) else { return Ok(()) };
            let mut above: Option<Matched> = None;
            let mut missed = false;
            for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
                let part = &path.as_bytes()[..at];
                let (out, matched) = patterns.leave_out(part, above.as_ref());
                prop_assert!(!missed || out, "{text:?} {path}");
                missed |= out && !patterns.may_keep_below(part);
                above = Some(matched);
            }
        }
    }
}
