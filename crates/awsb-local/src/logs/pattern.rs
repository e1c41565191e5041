//! Filter patterns of FilterLogEvents for lines of text: which messages they match. Pure.
//!
//! The syntax is that of the CloudWatch Logs User Guide, "Filter pattern syntax"
//! (`FilterAndPatternSyntax`, "Using filter patterns to match terms in unstructured log events"):
//! terms that must all be there, `-term` that must not, `?term` of which one must be there, "quoted
//! phrases"; the case matters. Patterns for JSON, for columns and with regular expressions are
//! refused. That a term is also found within a word is unverified: the page says "contain the
//! word".

/// API: FilterPattern has up to 1,024 characters.
const LONGEST: usize = 1024;

/// A mistake in a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is too long.
    #[error("Invalid filter pattern: it is longer than {LONGEST} characters")]
    TooLong,
    /// It is of a kind that the local cluster does not have.
    #[error(
        "Invalid filter pattern: the local cluster does not have patterns {0}; use terms and \"phrases\""
    )]
    NotSupported(&'static str),
    /// A term has a character that only a phrase can have.
    #[error(
        "Invalid filter pattern: Invalid character(s) in term '{0}'; a term with other characters than letters, \
         digits and _ belongs in double quotation marks"
    )]
    InvalidTerm(String),
    /// A phrase has no end.
    #[error("Invalid filter pattern: the quotation marks of {0} are not closed")]
    NotClosed(String),
}

/// A pattern that messages are matched with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pattern {
    /// All must be there.
    all: Vec<String>,
    /// None may be there.
    none: Vec<String>,
    /// One must be there, if there are any.
    any: Vec<String>,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The first mistake in the pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.chars().count() > LONGEST {
            return Err(PatternError::TooLong);
        }
        let text = text.trim();
        let unsupported = match text.chars().next() {
            Some('{') => "for JSON ({ … })",
            Some('[') => "for columns ([ … ])",
            _ => "",
        };
        if !unsupported.is_empty() {
            return Err(PatternError::NotSupported(unsupported));
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (place, term) = match rest.chars().next() {
                Some('-') => (&mut pattern.none, &rest[1..]),
                Some('?') => (&mut pattern.any, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (term, after) = term_of(term)?;
            place.push(term);
            rest = after.trim_start();
        }
        // "If you combine "?" with other filter patterns, all question mark terms will be ignored."
        if !pattern.all.is_empty() || !pattern.none.is_empty() {
            pattern.any.clear();
        }
        // `" "` "returns all log events".
        pattern.all.retain(|term| !term.trim().is_empty());
        Ok(pattern)
    }

    /// Whether it matches a message.
    pub fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        self.all.iter().all(has)
            && !self.none.iter().any(has)
            && (self.any.is_empty() || self.any.iter().any(has))
    }
}

/// The term at the start of a text that is not empty, and the text after it.
fn term_of(text: &str) -> Result<(String, &str), PatternError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (term, after) = text.split_at(end);
        if term.starts_with('%') {
            return Err(PatternError::NotSupported("with regular expressions (% … %)"));
        }
        // User Guide: "Enclose exact phrases and terms that include non-alphanumeric characters in
        // double quotation marks". The underscore is allowed in terms of JSON patterns, so here,
        // too.
        if term.is_empty() || !term.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(PatternError::InvalidTerm(term.to_owned()));
        }
        return Ok((term.to_owned(), after));
    };
    let mut term = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => {
                let after = &quoted[at + 1..];
                let whole = after.is_empty() || after.starts_with(char::is_whitespace);
                if term.is_empty() || !whole {
                    return Err(PatternError::InvalidTerm(text[..text.len() - after.len()].to_owned()));
                }
                return Ok((term, after));
            }
            // Unverified: a quotation mark within a phrase.
            '\\' => match characters.next() {
                Some((_, c @ ('"' | '\\'))) => term.push(c),
                Some((_, other)) => term.extend(['\\', other]),
                None => break,
            },
            c => term.push(c),
        }
    }
    Err(PatternError::NotClosed(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: [&str; 4] = [
        "[ERROR 400] BAD REQUEST",
        "[ERROR 401] UNAUTHORIZED REQUEST",
        "[ERROR 419] MISSING ARGUMENTS",
        "[ERROR 420] INVALID ARGUMENTS",
    ];

    fn matched(pattern: &str) -> Vec<usize> {
        let pattern = Pattern::parse(pattern).unwrap();
        (0..LINES.len()).filter(|n| pattern.matches(LINES[*n])).collect()
    }

    #[test]
    fn the_examples_of_the_user_guide() {
        assert_eq!(matched("ERROR"), [0, 1, 2, 3]);
        assert_eq!(matched("ERROR ARGUMENTS"), [2, 3]);
        assert_eq!(matched("?ERROR ?ARGUMENTS"), [0, 1, 2, 3]);
        assert_eq!(matched("?BAD ?MISSING"), [0, 2]);
        assert_eq!(matched("ERROR -ARGUMENTS"), [0, 1]);
        assert_eq!(matched("\" \""), [0, 1, 2, 3]);
        assert_eq!(matched(""), [0, 1, 2, 3]);
        assert_eq!(matched("?MISSING ?INVALID REQUEST"), [0, 1], "terms with ? are ignored beside others");
        assert_eq!(matched("\"INVALID ARGUMENTS\""), [3]);
    }

    #[test]
    fn phrases_signs_and_case() {
        assert_eq!(matched("error"), [0; 0]);
        assert_eq!(matched("-\"BAD REQUEST\" -MISSING"), [1, 3]);
        assert_eq!(matched("?\"400]\" ?\"420]\""), [0, 3]);
        assert_eq!(matched(" \t ERROR\n420 "), [3]);
        let phrase = Pattern::parse(r#""say \"hi\" \\ \n""#).unwrap();
        assert!(phrase.matches(r#"they say "hi" \ \n"#) && !phrase.matches("they say hi"));
        assert_eq!(Pattern::parse("\"  \""), Ok(Pattern::default()));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_says_why() {
        for (bad, why) in [
            ("{ $.a = 1 }", "JSON"),
            ("[ip, user]", "columns"),
            ("%AUTH.*%", "regular expressions"),
            ("-%x%", "regular expressions"),
            ("a.b", "term 'a.b'"),
            ("a-b", "term 'a-b'"),
            ("\"\"", "term '\"\"'"),
            ("a\"b\"", "quotation marks"),
            ("\"a\"b", "term '\"a\"'"),
            ("\"a", "not closed"),
            ("\"a\\", "not closed"),
            ("-", "term ''"),
            ("? a", "term ''"),
            (&"x".repeat(1025), "1024"),
        ] {
            let message = Pattern::parse(bad).unwrap_err().to_string();
            assert!(
                message.starts_with("Invalid filter pattern") && message.contains(why),
                "{bad}: {message}"
            );
        }
        assert!(Pattern::parse(&"é".repeat(1024)).is_ok());
    }

    /// A term, as it is written and as it is meant.
    fn term() -> impl Strategy<Value = (String, String)> {
        prop_oneof![
            "[a-c_é0-2]{1,3}".prop_map(|term| (term.clone(), term)),
            "[a-c\\\\\" {\\[%?-]{0,3}[a-c]".prop_map(|phrase| {
                let escaped = phrase.replace('\\', "\\\\").replace('"', "\\\"");
                (format!("\"{escaped}\""), phrase)
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_terms_say(
            all in prop::collection::vec(term(), 0..3),
            none in prop::collection::vec(term(), 0..2),
            any in prop::collection::vec(term(), 0..3),
            message in "[a-c_é0-2\\\\\" {\\[%?-]{0,12}",
        ) {
            let written = |terms: &[(String, String)], sign: &str| -> Vec<String> {
                terms.iter().map(|(written, _)| format!("{sign}{written}")).collect()
            };
            let parts = [written(&all, ""), written(&none, "-"), written(&any, "?")].concat();
            let has = |(_, term): &(String, String)| message.contains(term.as_str());
            let required = all.iter().all(has) && !none.iter().any(has);
            let only_any = all.is_empty() && none.is_empty() && !any.is_empty();
            let expected = required && (!only_any || any.iter().any(has));
            // A pattern whose first term is a phrase begins with its quotation mark: no bracket
            // stands first.
            let pattern = Pattern::parse(&parts.join("  ")).unwrap();
            prop_assert_eq!(pattern.matches(&message), expected);
        }

        #[test]
        fn any_text_is_a_pattern_or_is_refused(text in "\\PC*", message in "\\PC*") {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.matches(&message);
            }
        }
    }
}
