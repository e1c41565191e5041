//! Reads an INI file as Python's `configparser` does: ParallelCluster's configuration (version 2)
//! and the settings of its command line are such files.

/// An INI file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ini {
    /// The sections, in the file's order.
    pub sections: Vec<IniSection>,
}

/// A section and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniSection {
    /// The text between the brackets.
    pub name: String,
    /// The line of its head. The first line of a file is 1.
    pub line: usize,
    /// The keys, in the file's order.
    pub keys: Vec<IniKey>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniKey {
    /// The name, in lower case.
    pub name: String,
    /// The line of the name.
    pub line: usize,
    /// The value without the blanks around it. Lines that continue it are joined without a gap.
    pub value: String,
}

/// Where comments may begin (`configparser`, `inline_comment_prefixes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// On lines of their own.
    OwnLine,
    /// Behind a value as well, after a blank.
    Inline,
}

/// A line that is neither a section nor a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct IniError {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub message: &'static str,
}

impl Ini {
    /// Reads a text: `key = value` or `key: value` in sections. Lines that begin with a blank
    /// continue the value before them.
    ///
    /// # Errors
    /// Names the line.
    pub fn parse(text: &str, comments: Comments) -> Result<Self, IniError> {
        let mut sections: Vec<IniSection> = Vec::new();
        for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text)) {
            let text = if comments == Comments::Inline { without_comment(text) } else { text };
            let trimmed = text.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            let indented = text.starts_with([' ', '\t']);
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
                && !(indented && sections.last().is_some_and(|section| !section.keys.is_empty()))
            {
                sections.push(IniSection { name: name.trim().to_owned(), line, keys: Vec::new() });
                continue;
            }
            let Some(section) = sections.last_mut() else {
                return Err(IniError { line, message: "no [section] comes before this line" });
            };
            if indented && let Some(key) = section.keys.last_mut() {
                key.value.push_str(trimmed);
                continue;
            }
            let Some((name, value)) = trimmed.split_once(['=', ':']) else {
                return Err(IniError { line, message: "neither a [section] nor `key = value`" });
            };
            let name = name.trim().to_ascii_lowercase();
            section.keys.push(IniKey { name, line, value: value.trim().to_owned() });
        }
        Ok(Self { sections })
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<&IniSection> {
        self.sections.iter().find(|section| section.name == name)
    }
}

impl IniSection {
    /// The value of a key, the last one where it stands more than once. There is none when it is
    /// empty.
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.keys.iter().rev().find(|one| one.name == key)?;
        Some(found.value.as_str()).filter(|value| !value.is_empty())
    }
}

/// A line without the comment behind its value.
fn without_comment(line: &str) -> &str {
    let begins = |(at, c): (usize, char)| {
        matches!(c, '#' | ';')
            && line.get(..at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    };
    match line.char_indices().find(|&found| begins(found)) {
        Some((at, _)) => line.get(..at).unwrap_or(line),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# a comment\n[main]\nName = a ; b\nlist: x,\n  y # z\n; another\n\n[cluster x]\nurl = a#b;c\n";

    fn values(comments: Comments) -> Vec<(String, usize, String)> {
        let ini = Ini::parse(TEXT, comments).unwrap();
        let keys = ini.sections.into_iter().flat_map(|section| section.keys);
        keys.map(|key| (key.name, key.line, key.value)).collect()
    }

    #[test]
    fn comments_behind_values_are_read_as_the_caller_says() {
        let of = |name: &str, line, value: &str| (name.to_owned(), line, value.to_owned());
        let url = of("url", 9, "a#b;c");
        let plain = [of("name", 3, "a ; b"), of("list", 4, "x,y # z"), url.clone()];
        assert_eq!(values(Comments::OwnLine), plain);
        assert_eq!(values(Comments::Inline), [of("name", 3, "a"), of("list", 4, "x,y"), url]);
    }

    #[test]
    fn a_line_that_is_neither_is_named() {
        let wrong = |text: &str| Ini::parse(text, Comments::Inline).unwrap_err().to_string();
        assert_eq!(wrong("x = 1\n"), "line 1: no [section] comes before this line");
        assert_eq!(wrong("[main]\n\nhello\n"), "line 3: neither a [section] nor `key = value`");
    }

    #[test]
    fn the_last_value_of_a_key_counts() {
        let ini = Ini::parse("[a]\nx = 1\nx = 2\ny =\n", Comments::OwnLine).unwrap();
        let section = ini.section("a").unwrap();
        assert_eq!((section.value("x"), section.value("y"), section.value("z")), (Some("2"), None, None));
    }
}
