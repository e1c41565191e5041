//! The output and the exit code of a command in a session of AWS. Such a session has one stream, no
//! exit code, and words of its own before and after the command. So the command stands between two
//! lines with a mark that nothing else prints, and the second has its exit code. Pure.

use awsb_model::command_line::{ENTER_FOLDER_OF_JOB, to_line};

/// The command line by which a command runs between its marks.
pub fn wrapped(command: &[String], mark: &str) -> String {
    let script = format!(
        "printf '%s\\n' {mark}; {ENTER_FOLDER_OF_JOB}; {}; printf '\\n%s %d\\n' {mark} \"$?\"",
        to_line(command)
    );
    to_line(&["/bin/sh", "-c", &script])
}

/// A part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Output of the command.
    Output(Vec<u8>),
    /// The command has ended with this exit code.
    Ended(u8),
}

/// Finds the output of the command in that of the session.
#[derive(Debug)]
pub struct MarkedOutput {
    mark: Vec<u8>,
    /// Whether a line ends with a line feed alone. In a session it ends as on a terminal.
    is_plain: bool,
    has_begun: bool,
    has_ended: bool,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// The end of the line before, which may be the one that comes before the second mark.
    held: Vec<u8>,
    outside: Vec<String>,
}

impl MarkedOutput {
    /// For the output of a command with this mark; `is_plain`: without carriage returns.
    pub fn new(mark: &str, is_plain: bool) -> Self {
        Self {
            mark: mark.as_bytes().to_vec(),
            is_plain,
            has_begun: false,
            has_ended: false,
            line: Vec::new(),
            held: Vec::new(),
            outside: Vec::new(),
        }
    }

    /// Takes more of the output of the session.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut found = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take(&line, &mut found);
            } else if self.has_begun && !self.has_ended && !self.may_be_mark() {
                // A prompt, for example, must not wait for the end of its line.
                let line = std::mem::take(&mut self.line);
                let mut text = std::mem::take(&mut self.held);
                text.extend_from_slice(&line);
                found.push(Line::Output(text));
            }
        }
        found
    }

    /// The session has ended.
    pub fn finish(&mut self) -> Vec<Line> {
        let line = std::mem::take(&mut self.line);
        let mut found = Vec::new();
        if !line.is_empty() {
            self.take(&line, &mut found);
        }
        found
    }

    /// The words of the session besides the command, in one line.
    pub fn outside(&self) -> String {
        self.outside.join(" ")
    }

    fn may_be_mark(&self) -> bool {
        let length = self.line.len().min(self.mark.len());
        self.line.get(..length) == self.mark.get(..length)
    }

    fn take(&mut self, line: &[u8], found: &mut Vec<Line>) {
        let text = line.trim_ascii_end();
        if !self.has_begun {
            match text == self.mark {
                true => self.has_begun = true,
                false => self.note(text),
            }
            return;
        }
        if self.has_ended {
            return self.note(text);
        }
        let code = text.strip_prefix(self.mark.as_slice()).and_then(|rest| rest.strip_prefix(b" "));
        if let Some(code) = code.and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()) {
            self.has_ended = true;
            self.held.clear();
            found.push(Line::Ended(code));
            return;
        }
        let (content, end) = match line {
            [content @ .., b'\r', b'\n'] => (content, if self.is_plain { &b"\n"[..] } else { b"\r\n" }),
            [content @ .., b'\n'] => (content, &b"\n"[..]),
            content => (content, &b""[..]),
        };
        let mut text = std::mem::replace(&mut self.held, end.to_vec());
        text.extend_from_slice(content);
        if !text.is_empty() {
            found.push(Line::Output(text));
        }
    }

    fn note(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).trim().to_owned();
        if !text.is_empty() {
            self.outside.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: &str = "awsb-0123456789abcdef";

    /// The output of a command, its exit code, and the words outside, however the bytes come.
    fn read(session: &[u8], piece: usize, is_plain: bool) -> (Vec<u8>, Option<u8>, String) {
        let mut marked = MarkedOutput::new(MARK, is_plain);
        let mut lines: Vec<Line> = session.chunks(piece).flat_map(|bytes| marked.push(bytes)).collect();
        lines.extend(marked.finish());
        let (mut output, mut code) = (Vec::new(), None);
        for line in lines {
            match line {
                Line::Output(text) => output.extend(text),
                Line::Ended(ended) => code = Some(ended),
            }
        }
        (output, code, marked.outside())
    }

    #[test]
    fn a_command_runs_between_its_marks() {
        let words = ["sh".to_owned(), "-c".to_owned(), "printf 'a b'; exit 3".to_owned()];
        let line = wrapped(&words, MARK);
        let shell = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(read(&shell.stdout, 1, true), (b"a b".to_vec(), Some(3), String::new()));
    }

    #[test]
    fn the_words_of_the_session_are_not_output() {
        let session = format!(
            "\r\nStarting session with SessionId: ecs-execute-command-1\r\n{MARK}\r\none\r\ntwo\r\n\r\n{MARK} 7\r\n\
             \r\n\r\nExiting session with sessionId: ecs-execute-command-1.\r\n"
        );
        let (output, code, outside) = read(session.as_bytes(), 4096, true);
        assert_eq!((output.as_slice(), code), (&b"one\ntwo\n"[..], Some(7)));
        assert!(outside.starts_with("Starting session with") && outside.contains("Exiting"), "{outside}");
        assert_eq!(read(session.as_bytes(), 4096, false).0, b"one\r\ntwo\r\n");
        let early = format!("Starting\r\n{MARK}\r\none\r\n");
        assert_eq!(read(early.as_bytes(), 3, true).1, None);
    }

    proptest! {
        #[test]
        fn any_output_arrives_as_it_was(
            output in proptest::collection::vec(any::<u8>(), 0..200),
            piece in 1_usize..50,
            code in any::<u8>(),
        ) {
            // Carriage returns are for the terminal.
            let output: Vec<u8> = output.into_iter().filter(|byte| *byte != b'\r').collect();
            let mut session = format!("hello\n{MARK}\n").into_bytes();
            session.extend_from_slice(&output);
            session.extend_from_slice(format!("\n{MARK} {code}\nbye\n").as_bytes());
            let (read, ended, _) = read(&session, piece, true);
            prop_assert_eq!(read, output);
            prop_assert_eq!(ended, Some(code));
        }
    }
}
