//! `--name GLOB`: selects jobs by their names.

use std::str::FromStr;

use globset::{Glob, GlobMatcher};

use super::Invalid;

/// A pattern of names: `*`, `?`, `[…]` and `{a,b}` as in a shell. A name without them matches
/// itself.
#[derive(Debug, Clone)]
pub struct NameGlob(GlobMatcher);

impl NameGlob {
    /// The text with which all matching names begin, and whether more may follow it. `None` where
    /// the pattern begins with a wildcard.
    pub fn beginning(&self) -> Option<(&str, bool)> {
        let text = self.0.glob().glob();
        // A backslash takes its meaning from a wildcard; such patterns are too rare to be read
        // here.
        let end = text.find(['*', '?', '[', '{', '\\']);
        let (beginning, more) = end.map_or((text, false), |end| (text.get(..end).unwrap_or_default(), true));
        (!beginning.is_empty()).then_some((beginning, more))
    }

    /// Whether a job's name matches the pattern.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl FromStr for NameGlob {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::because("a name has at least one character; '*' stands for any characters"));
        }
        let glob = Glob::new(text).map_err(|e| Invalid::because(e.kind().to_string()))?;
        Ok(Self(glob.compile_matcher()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_all_matching_names() {
        for (glob, beginning) in [
            ("align", Some(("align", false))),
            ("align-*", Some(("align-", true))),
            ("a?c*", Some(("a", true))),
            ("a[12]", Some(("a", true))),
            ("*", None),
            ("{a,b}-*", None),
        ] {
            let parsed: NameGlob = glob.parse().expect("a pattern");
            assert_eq!(parsed.beginning(), beginning, "{glob}");
        }
    }

    #[test]
    fn as_in_a_shell() {
        let matches = |glob: &str, name: &str| glob.parse::<NameGlob>().map(|g| g.matches(name));
        for (glob, name) in
            [("a*", "a"), ("a*", "a-b_c"), ("?x", "1x"), ("[ab]1", "b1"), ("{a,b}-*", "b-2"), ("x", "x")]
        {
            assert_eq!(matches(glob, name), Ok(true), "{glob} {name}");
        }
        for (glob, name) in [("a", "ab"), ("a?", "a"), ("A*", "a1"), ("[!a]1", "a1")] {
            assert_eq!(matches(glob, name), Ok(false), "{glob} {name}");
        }
        assert!("".parse::<NameGlob>().is_err() && "[a".parse::<NameGlob>().is_err());
    }
}
