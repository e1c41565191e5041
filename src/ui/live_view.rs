//! A view that is printed repeatedly: in place on a terminal, and else one below the other.

use super::text_width::width;
use super::{Failure, Output};

/// The place of a view that is printed repeatedly.
#[derive(Debug, Default)]
pub struct LiveView {
    is_cleared: bool,
}

impl LiveView {
    /// Prints a view, which was [buffered](Output::keeping), below its title. On a terminal it is
    /// truncated to the screen, except for the last view, which stays there.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn show(
        &mut self,
        output: &Output,
        title: Option<&str>,
        view: &str,
        is_last: bool,
    ) -> Result<(), Failure> {
        if !output.is_terminal() {
            let title = title.map(|title| format!("{title}\n")).unwrap_or_default();
            return output.write(format!("{title}{view}").as_bytes());
        }
        // The last row is the cursor's.
        let room = output.rows().filter(|_| !is_last).map(|rows| rows.saturating_sub(1));
        let lines: Vec<&str> = title.into_iter().chain(view.lines()).collect();
        let head = usize::from(title.is_some()) + usize::from(output.has_header());
        // Clear the screen, or only go to its first column and row (ECMA-48: ED, CUP).
        let mut text = String::from(if self.is_cleared { "\x1b[H" } else { "\x1b[2J\x1b[H" });
        self.is_cleared = true;
        for line in fitting(&lines, head, room, output.columns()) {
            // A longer line from before is erased (EL).
            text.extend([line, "\x1b[K\n"]);
        }
        text.push_str("\x1b[J");
        output.write(text.as_bytes())
    }
}

/// The lines that fit: the first `head` lines, and the last ones.
fn fitting<'l>(lines: &[&'l str], head: usize, room: Option<usize>, columns: Option<usize>) -> Vec<&'l str> {
    // Coloured lines come from a table, whose lines fit.
    let rows = |line: &str| match columns {
        Some(columns) if columns > 0 && !line.contains('\x1b') => width(line).div_ceil(columns).max(1),
        _ => 1,
    };
    let Some(room) = room.filter(|room| lines.iter().map(|line| rows(line)).sum::<usize>() > *room) else {
        return lines.to_vec();
    };
    let (head, others) = lines.split_at(head.min(lines.len()));
    // One row is for the sign of omitted lines.
    let mut left = room.saturating_sub(1 + head.iter().map(|line| rows(line)).sum::<usize>());
    let fits = |line: &&&str| {
        let rows = rows(line);
        let is_room = rows <= left;
        left = left.saturating_sub(rows);
        is_room
    };
    let last = others.iter().rev().take_while(fits).count();
    [head, &["…"], &others[others.len() - last..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_shows_the_newest() {
        let lines = ["time", "header", "1", "2", "3", "4"];
        let shown = |room, head| fitting(&lines, head, room, Some(80)).join(" ");
        assert_eq!(shown(None, 2), "time header 1 2 3 4");
        assert_eq!(shown(Some(6), 2), "time header 1 2 3 4");
        assert_eq!(shown(Some(5), 2), "time header … 3 4");
        assert_eq!(shown(Some(5), 1), "time … 2 3 4");
        assert_eq!(shown(Some(1), 2), "time header …");
        // Lines that wrap take more rows than one.
        assert_eq!(
            fitting(&["time", "123456", "12", "123"], 1, Some(5), Some(3)),
            ["time", "…", "12", "123"]
        );
    }

    #[test]
    fn a_view_is_drawn_over_the_one_before() {
        let output = Output::in_memory(super::super::Format::Plain, Some(80), false);
        let mut screen = LiveView::default();
        assert_eq!(screen.show(&output, Some("now"), "a\nb\n", false), Ok(()));
        assert_eq!(output.taken(), "\x1b[2J\x1b[Hnow\x1b[K\na\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(screen.show(&output, None, "c\n", true), Ok(()));
        assert_eq!(output.taken(), "\x1b[Hc\x1b[K\n\x1b[J");
        let output = Output::in_memory(super::super::Format::Plain, None, false);
        assert_eq!(screen.show(&output, Some("now"), "a\n", false), Ok(()));
        assert_eq!(output.taken(), "now\na\n");
    }
}
