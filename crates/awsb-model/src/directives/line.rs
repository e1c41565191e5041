//! A line with directives.

use std::ffi::{OsStr, OsString};

use super::dialect::Dialect;
use super::result::{At, Directives};

/// A line with directives.
#[derive(Debug)]
pub struct Line {
    /// The number of the line, from 1.
    pub number: usize,
    /// The scheduler to which it is addressed.
    pub dialect: Dialect,
    /// The words after the prefix.
    pub words: Vec<OsString>,
}

impl Line {
    /// The directive that these words of the line are.
    pub fn at(&self, words: &[impl AsRef<OsStr>]) -> At {
        let mut text = self.dialect.prefix().to_owned();
        for word in words {
            text.push(' ');
            text.push_str(&word.as_ref().to_string_lossy());
        }
        At { line: self.number, dialect: Some(self.dialect), text }
    }

    /// The words as text. If one of them is not text, this is reported, and there are none.
    pub fn texts(&self, found: &mut Directives) -> Vec<String> {
        let texts: Option<_> = self.words.iter().map(|word| word.to_str().map(str::to_owned)).collect();
        texts.unwrap_or_else(|| {
            found.refuse(&self.at(&self.words), "is not written in UTF-8");
            Vec::new()
        })
    }
}
