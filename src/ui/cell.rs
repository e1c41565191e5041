//! A cell of a table: text with a meaning, which a terminal shows as a colour.

use super::sanitize::sanitize;
use super::text_width::{beginning, width};

/// The meaning of a piece of text to the reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// The work is in progress.
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

/// A cell: pieces of text, each with its tone. A picture can stand in front of them, and is left
/// out where the room is little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    picture: Vec<(String, Tone)>,
    words: Vec<(String, Tone)>,
    /// In a pipe, spaces stay.
    keeps_spaces: bool,
}

impl Cell {
    fn of(words: Vec<(String, Tone)>) -> Self {
        Self { words, ..Self::default() }
    }

    /// Text whose spaces stay in a pipe, too, such as the name of a file. Only the last cell of a
    /// row can be one: `awk` takes it for several fields.
    pub fn with_spaces(text: impl Into<String>) -> Self {
        Self { keeps_spaces: true, ..Self::from(text.into()) }
    }

    fn pieces(&self) -> impl Iterator<Item = &(String, Tone)> {
        self.picture.iter().chain(&self.words)
    }

    /// Text with one tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self::of(vec![(text.into(), tone)])
    }

    /// The cell with one more piece behind the others.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.words.push((text.into(), tone));
        self
    }

    /// The cell with the pieces of another one as the picture in front of its own.
    #[must_use]
    pub fn with_picture(mut self, picture: Self) -> Self {
        self.picture = picture.words;
        self
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces().map(|(text, _)| text.as_str()).collect()
    }

    /// The cell for a terminal, sanitized. An empty cell is `-`.
    pub(super) fn for_terminal(&self) -> Self {
        let safe = |pieces: &[(String, Tone)]| -> Vec<(String, Tone)> {
            let pieces = pieces.iter().filter(|(text, _)| !text.is_empty());
            pieces.map(|(text, tone)| (sanitize(text).into_owned(), *tone)).collect()
        };
        let words = safe(&self.words);
        if words.is_empty() {
            return Self::toned("-", Tone::Faint);
        }
        Self { picture: safe(&self.picture), words, keeps_spaces: self.keeps_spaces }
    }

    /// The cell as one word, for `awk`: an empty cell is `-`, blanks and control characters are
    /// `_`. Spaces stay in a cell that [keeps](Self::with_spaces) them.
    pub(super) fn for_pipe(&self) -> Self {
        let text = self.text();
        let stays = |c: char| c == ' ' && self.keeps_spaces;
        let word = |c: char| if (c.is_whitespace() && !stays(c)) || c.is_control() { '_' } else { c };
        Self::from(if text.is_empty() { "-".to_owned() } else { text.chars().map(word).collect() })
    }

    /// The columns of a terminal that the cell takes.
    pub(super) fn width(&self) -> usize {
        self.pieces().map(|(text, _)| width(text)).sum()
    }

    /// The columns that the cell takes without its picture.
    pub(super) fn width_of_words(&self) -> usize {
        self.words.iter().map(|(text, _)| width(text)).sum()
    }

    /// The beginning of the cell, in this many columns. The picture stays only if the whole cell
    /// fits.
    pub(super) fn cut(&self, columns: usize) -> Self {
        if self.width() <= columns {
            return self.clone();
        }
        if self.width_of_words() <= columns {
            return Self::of(self.words.clone());
        }
        let mut left = columns.saturating_sub(1);
        let mut pieces = Vec::new();
        for (text, tone) in &self.words {
            let kept = beginning(text, left);
            left -= width(kept);
            let is_cut = kept.len() < text.len();
            pieces.push((kept.to_owned(), *tone));
            if is_cut {
                break;
            }
        }
        if columns > 0 {
            pieces.push(("…".to_owned(), Tone::Plain));
        }
        Self::of(pieces)
    }

    /// A job ID in this many columns: its beginning, and the index in an array or an MNP job behind
    /// it.
    pub(super) fn cut_id(&self, columns: usize) -> Self {
        let text = self.text();
        let (id, part) = text.split_at(text.find([':', '#']).unwrap_or(text.len()));
        let tone = self.words.first().map_or(Tone::Plain, |(_, tone)| *tone);
        if self.width() <= columns || columns <= part.len() {
            return self.cut(columns);
        }
        Self::toned(id, tone).cut(columns - part.len()).and(part, tone)
    }

    /// The text, with its colours if `colour`.
    pub(super) fn paint(&self, colour: bool) -> String {
        self.pieces().map(|(text, tone)| if colour { tone.paint(text) } else { text.clone() }).collect()
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
    fn a_pipe_gets_one_word_or_a_name_with_its_spaces() {
        assert_eq!(Cell::from("a b\tc\n").for_pipe().text(), "a_b_c_");
        assert_eq!(Cell::with_spaces("a b\tc\n").for_pipe().text(), "a b_c_");
        assert_eq!(Cell::with_spaces("").for_pipe().text(), "-");
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
