//! What stands in a cell of a table: text, with a meaning that a terminal shows as a colour.

use super::text::{harmless, width, width_of};

/// What a piece of text means to the reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It is being worked on.
    Busy,
    /// It waits.
    Waiting,
    /// It matters less.
    Faint,
}

impl Tone {
    /// The parameter of the escape sequence (ECMA-48, 8.3.117 SGR).
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Busy => "36",
            Tone::Waiting => "33",
            Tone::Faint => "2",
        }
    }

    /// The text in the tone's colour.
    pub(super) fn paint(self, text: &str) -> String {
        match self {
            Tone::Plain => text.to_owned(),
            _ if text.is_empty() => String::new(),
            _ => format!("\x1b[{}m{text}\x1b[0m", self.code()),
        }
    }
}

/// A cell: pieces of text, each with its tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell(Vec<(String, Tone)>);

impl Cell {
    /// Text with one tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    /// The cell with one more piece behind the others.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }

    /// The cell with all pieces of another one behind its own.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// The same on a terminal, with nothing in it that a terminal acts upon; an empty cell is `-`.
    pub(super) fn for_terminal(&self) -> Self {
        let pieces = self.0.iter().filter(|(text, _)| !text.is_empty());
        let pieces: Vec<_> = pieces.map(|(text, tone)| (harmless(text).into_owned(), *tone)).collect();
        if pieces.is_empty() { Self::toned("-", Tone::Faint) } else { Self(pieces) }
    }

    /// The same as one word, for `awk`: an empty cell is `-`, blanks and control characters are `_`.
    pub(super) fn for_pipe(&self) -> Self {
        let text = self.text();
        let word = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
        Self::from(if text.is_empty() { "-".to_owned() } else { text.chars().map(word).collect() })
    }

    /// The columns of a terminal that it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| width(text)).sum()
    }

    /// The beginning of it, in so many columns.
    pub(super) fn cut(&self, columns: usize) -> Self {
        if self.width() <= columns {
            return self.clone();
        }
        let mut left = columns.saturating_sub(1);
        let mut pieces = Vec::new();
        for (text, tone) in &self.0 {
            let fits = |c: &char| {
                let room = left.checked_sub(width_of(*c));
                left = room.unwrap_or(0);
                room.is_some()
            };
            let kept: String = text.chars().take_while(fits).collect();
            let is_cut = kept.len() < text.len();
            pieces.push((kept, *tone));
            if is_cut {
                break;
            }
        }
        if columns > 0 {
            pieces.push(("…".to_owned(), Tone::Plain));
        }
        Self(pieces)
    }

    /// An ID in so many columns: its beginning, and the place in an array or an MNP job behind it.
    pub(super) fn cut_id(&self, columns: usize) -> Self {
        let text = self.text();
        let (id, part) = text.split_at(text.find([':', '#']).unwrap_or(text.len()));
        let tone = self.0.first().map_or(Tone::Plain, |(_, tone)| *tone);
        if self.width() <= columns || columns <= part.len() {
            return self.cut(columns);
        }
        Self::toned(id, tone).cut(columns - part.len()).and(part, tone)
    }

    /// The text with its colours, where there are any.
    pub(super) fn paint(&self, colour: bool) -> String {
        self.0.iter().map(|(text, tone)| if colour { tone.paint(text) } else { text.clone() }).collect()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_cut_over_its_pieces() {
        let cell = Cell::toned("ab", Tone::Good).and("cd日", Tone::Bad).and("ef", Tone::Plain);
        for (columns, text) in
            [(9, "abcd日ef"), (8, "abcd日ef"), (7, "abcd日…"), (6, "abcd…"), (2, "a…"), (1, "…"), (0, "")]
        {
            assert_eq!(cell.cut(columns).text(), text, "{columns}");
        }
        assert_eq!(cell.cut(4).paint(true), "\x1b[32mab\x1b[0m\x1b[31mc\x1b[0m…");
    }

    #[test]
    fn an_id_keeps_its_place() {
        let id = Cell::from("8f2c0d3e-1111:1234");
        for (columns, text) in
            [(18, "8f2c0d3e-1111:1234"), (14, "8f2c0d3e…:1234"), (6, "…:1234"), (5, "8f2c…")]
        {
            assert_eq!(id.cut_id(columns).text(), text, "{columns}");
        }
        assert_eq!(Cell::from("8f2c0d3e-1111").cut_id(9).text(), "8f2c0d3e…");
    }
}
