//! The command lines of the old tools, read as Python's `argparse` reads them.
//!
//! `argparse` has options of two letters behind one dash (`-jn NAME`), takes the beginning of an
//! option for the option, and gives all operands that stand together to the tool. clap reads none
//! of these. It prints the help, the manual page and the completions.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

use super::listing::is_number;

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None: the option is a switch.
    Nothing,
    /// A text. The last one counts.
    Text,
    /// A text. All of them count.
    Texts,
    /// A whole number.
    Number,
}

/// An option of an old tool.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its letters behind one dash.
    pub short: &'static str,
    /// Its name behind two dashes.
    pub long: &'static str,
    /// Its value.
    pub takes: Takes,
    /// Its meaning, for `--help`. An option without it is not listed.
    pub help: &'static str,
}

/// `--help`, which every tool has.
const HELP: Opt = Opt { short: "h", long: "help", takes: Takes::Nothing, help: "Print help" };
/// The option that names the cluster.
pub const CLUSTER: Opt = Opt { short: "c", long: "cluster", takes: Takes::Text, help: "The cluster to use" };
/// The level of the old tools' log file. It has no effect.
pub const LOG_LEVEL: Opt = Opt { short: "ll", long: "log-level", takes: Takes::Text, help: "" };

/// The operands that a tool takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// One.
    One,
    /// One or more.
    Some,
    /// Any number.
    Any,
}

/// The command line of a tool.
#[derive(Debug)]
pub struct Definition {
    /// The tool's name.
    pub name: &'static str,
    /// Its effect, for `--help`.
    pub about: &'static str,
    /// Its options, without `--help`.
    pub options: &'static [Opt],
    /// How many operands it takes.
    pub operands: Operands,
    /// The name of an operand, and its meaning.
    pub operand: (&'static str, &'static str),
    /// The differences from the old tool, a paragraph each. The manual page lists them.
    pub differences: &'static [&'static str],
    /// The exit codes, for the manual page.
    pub exit: &'static str,
    /// The tool of ours that does the same and more.
    pub successor: &'static str,
}

/// The exit codes of most tools.
pub const EXIT: &str = "0: all is done. 1: something failed. 2: the command line is wrong.";

/// The values of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Values {
    options: Vec<(&'static str, OsString)>,
    /// The operands.
    pub operands: Vec<OsString>,
}

/// Why there are no values.
#[derive(Debug, PartialEq, Eq)]
pub enum NoValues {
    /// `--help` is asked for.
    Help,
    /// The command line is wrong.
    Wrong(String),
}

impl Values {
    /// Whether a switch is set.
    pub fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// All values of an option.
    pub fn all<'a>(&'a self, long: &'a str) -> impl DoubleEndedIterator<Item = &'a OsStr> {
        self.options.iter().filter(move |(name, _)| *name == long).map(|(_, value)| value.as_os_str())
    }

    /// The last value of an option. As for the old tools, an empty one is none.
    pub fn text(&self, long: &str) -> Option<String> {
        let value = self.all(long).next_back()?.to_string_lossy().into_owned();
        Some(value).filter(|value| !value.is_empty())
    }

    /// The last value of an option that is a number.
    pub fn number(&self, long: &str) -> Option<i64> {
        self.text(long).and_then(|text| number(&text))
    }

    /// The operands as texts.
    pub fn texts(&self) -> Vec<String> {
        self.operands.iter().map(|operand| operand.to_string_lossy().into_owned()).collect()
    }
}

/// A number as Python's `int` reads it.
fn number(text: &str) -> Option<i64> {
    is_number(text.trim()).then(|| text.trim().replace('_', "").parse().ok())?
}

/// A word of a command line.
enum Word {
    Operand,
    /// `--`, behind which all words are operands.
    Dashes,
    /// An option, as it is written in the definition, and the value that is attached to it.
    Option(Opt, String, Option<String>),
    /// An option that the tool does not have.
    Unknown,
}

impl Opt {
    /// The option's two spellings.
    fn spellings(&self) -> [String; 2] {
        [format!("-{}", self.short), format!("--{}", self.long)]
    }

    /// An error of its value.
    fn wrong(&self, message: impl std::fmt::Display) -> NoValues {
        NoValues::Wrong(format!("argument {}: {message}", self.spellings().join("/")))
    }
}

impl Definition {
    /// The definition for clap.
    pub fn command(&self) -> Command {
        let option = |opt: &Opt| {
            let arg = Arg::new(opt.long).long(opt.long).hide(opt.help.is_empty());
            let mut letters = opt.short.chars();
            let (arg, help) = match (letters.next(), letters.next()) {
                (Some(letter), None) => (arg.short(letter), opt.help.to_owned()),
                _ => (arg, format!("{}; -{} is the same", opt.help, opt.short)),
            };
            arg.help(help).action(match opt.takes {
                Takes::Nothing => ArgAction::SetTrue,
                Takes::Texts => ArgAction::Append,
                Takes::Text | Takes::Number => ArgAction::Set,
            })
        };
        let (name, help) = self.operand;
        let operand = Arg::new(name).value_name(name).help(help);
        let operand = match self.operands {
            Operands::One => operand.required(true),
            Operands::Some => operand.required(true).num_args(1..),
            Operands::Any => operand.num_args(0..),
        };
        Command::new(self.name)
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .args(self.options.iter().map(option))
            .arg(operand)
    }

    /// Reads the words behind the tool's name.
    pub fn parse(&self, words: &[OsString]) -> Result<Values, NoValues> {
        let mut kinds = Vec::new();
        let mut are_operands = false;
        for word in words {
            kinds.push(match word.to_string_lossy() {
                _ if are_operands => Word::Operand,
                text if text == "--" => {
                    are_operands = true;
                    Word::Dashes
                }
                text => self.classify(&text)?,
            });
        }
        let mut values = Values::default();
        let mut unknown = Vec::new();
        let mut at = 0;
        while let Some(kind) = kinds.get(at) {
            match kind {
                Word::Option(opt, spelling, attached) => {
                    let next = words.get(at + 1).filter(|_| matches!(kinds.get(at + 1), Some(Word::Operand)));
                    let took_next = values.take(self, opt, spelling, attached.as_deref(), next)?;
                    at += 1 + usize::from(took_next);
                }
                Word::Unknown => {
                    unknown.push(words[at].clone());
                    at += 1;
                }
                Word::Operand | Word::Dashes => {
                    let is_operand = |kind: &&Word| matches!(kind, Word::Operand | Word::Dashes);
                    let end = at + kinds[at..].iter().take_while(is_operand).count();
                    // The operands that come first are all that count.
                    let group = if values.operands.is_empty() { at..end } else { at..at };
                    at = group.start;
                    for place in group {
                        match kinds[place] {
                            Word::Dashes => {}
                            _ if self.operands == Operands::One && !values.operands.is_empty() => break,
                            _ => values.operands.push(words[place].clone()),
                        }
                        at = place + 1;
                    }
                    unknown.extend_from_slice(&words[at..end]);
                    at = end;
                }
            }
        }
        if values.operands.is_empty() && self.operands != Operands::Any {
            return Err(NoValues::Wrong(format!("the following arguments are required: {}", self.operand.0)));
        }
        match unknown.join(OsStr::new(" ")) {
            _ if unknown.is_empty() => Ok(values),
            words => Err(NoValues::Wrong(format!("unrecognized arguments: {}", words.to_string_lossy()))),
        }
    }

    fn options(&self) -> impl Iterator<Item = (Opt, String)> {
        let all = std::iter::once(&HELP).chain(self.options);
        all.flat_map(|opt| opt.spellings().map(|spelling| (*opt, spelling)))
    }

    fn option(&self, spelling: &str) -> Option<Opt> {
        self.options().find(|(_, known)| known == spelling).map(|(opt, _)| opt)
    }

    /// The kind of a word (`argparse`, `_parse_optional` and `_get_option_tuples`).
    fn classify(&self, word: &str) -> Result<Word, NoValues> {
        if !word.starts_with('-') || word.len() == 1 {
            return Ok(Word::Operand);
        }
        if let Some(opt) = self.option(word) {
            return Ok(Word::Option(opt, word.to_owned(), None));
        }
        let (before, behind) = match word.split_once('=') {
            Some((before, behind)) => (before, Some(behind)),
            None => (word, None),
        };
        if let (Some(opt), Some(value)) = (self.option(before), behind) {
            return Ok(Word::Option(opt, before.to_owned(), Some(value.to_owned())));
        }
        let mut found: Vec<(Opt, String, Option<String>)> = Vec::new();
        for (opt, spelling) in self.options() {
            if word.starts_with("--") {
                if spelling.starts_with(before) {
                    found.push((opt, spelling, behind.map(str::to_owned)));
                }
            } else if word.char_indices().nth(2).is_some_and(|(at, _)| word[..at] == spelling) {
                let value = word[spelling.len()..].to_owned();
                found.push((opt, spelling, Some(value)));
            } else if spelling.starts_with(word) {
                found.push((opt, spelling, None));
            }
        }
        let names: Vec<&str> = found.iter().map(|(_, spelling, _)| spelling.as_str()).collect();
        if names.len() > 1 {
            let names = names.join(", ");
            return Err(NoValues::Wrong(format!("ambiguous option: {word} could match {names}")));
        }
        Ok(match found.pop() {
            Some((opt, spelling, value)) => Word::Option(opt, spelling, value),
            None if is_negative_number(word) || word.contains(' ') => Word::Operand,
            None => Word::Unknown,
        })
    }
}

impl Values {
    /// Takes an option with its value, which is attached to it or is the next word. Returns whether
    /// the next word was taken.
    fn take(
        &mut self,
        definition: &Definition,
        opt: &Opt,
        spelling: &str,
        attached: Option<&str>,
        next: Option<&OsString>,
    ) -> Result<bool, NoValues> {
        if opt.takes == Takes::Nothing {
            let Some(letters) = attached else {
                self.options.push((opt.long, OsString::new()));
                return if opt.long == HELP.long { Err(NoValues::Help) } else { Ok(false) };
            };
            // `-de` is `-d -e`.
            let letter = letters.chars().next().filter(|_| !spelling.starts_with("--"));
            let other = letter.map(|letter| format!("-{letter}"));
            let Some((other, spelling)) = other.and_then(|other| Some((definition.option(&other)?, other)))
            else {
                return Err(opt.wrong(format!("ignored explicit argument '{letters}'")));
            };
            self.options.push((opt.long, OsString::new()));
            let rest = Some(&letters[spelling.len() - 1..]).filter(|rest| !rest.is_empty());
            let took_next = self.take(definition, &other, &spelling, rest, next)?;
            return if opt.long == HELP.long { Err(NoValues::Help) } else { Ok(took_next) };
        }
        let value = match (attached, next) {
            (Some(value), _) => OsString::from(value),
            (None, Some(value)) => value.clone(),
            (None, None) => return Err(opt.wrong("expected one argument")),
        };
        if opt.takes == Takes::Number && number(&value.to_string_lossy()).is_none() {
            return Err(opt.wrong(format!("invalid int value: '{}'", value.to_string_lossy())));
        }
        self.options.push((opt.long, value));
        Ok(attached.is_none())
    }
}

/// `-1` or `-.5`, which is a value.
fn is_negative_number(word: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match word.strip_prefix('-').unwrap_or_default().split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && !part.is_empty(),
        None => digits(&word[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn opt(short: &'static str, long: &'static str, takes: Takes) -> Opt {
        Opt { short, long, takes, help: "h" }
    }

    const TOOL: Definition = Definition {
        name: "awsbsub",
        about: "a",
        options: &[
            CLUSTER,
            opt("cf", "command-file", Takes::Nothing),
            opt("d", "details", Takes::Nothing),
            opt("e", "env", Takes::Text),
            opt("eb", "env-blacklist", Takes::Text),
            opt("if", "input-file", Takes::Texts),
            opt("p", "vcpus", Takes::Number),
        ],
        operands: Operands::Any,
        operand: ("words", "w"),
        differences: &[],
        exit: EXIT,
        successor: "bsub",
    };

    fn parse(definition: &Definition, line: &str) -> Result<Values, NoValues> {
        let words: Vec<OsString> = line.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect();
        definition.parse(&words)
    }

    #[test]
    fn a_line_is_read_as_argparse_reads_it() {
        for (line, options, operands) in [
            ("-c x -cf job.sh a", &[("cluster", "x"), ("command-file", "")][..], "job.sh a"),
            // An attached value, also behind `=`.
            ("-cx -p2 -e=A,B", &[("cluster", "x"), ("vcpus", "2"), ("env", "A,B")], ""),
            ("--vcpus=-3", &[("vcpus", "-3")], ""),
            ("-p -3", &[("vcpus", "-3")], ""),
            // A beginning.
            ("--comm a", &[("command-file", "")], "a"),
            ("-i a -i b", &[("input-file", "a"), ("input-file", "b")], ""),
            ("-cfx", &[("cluster", "fx")], ""),
            // Switches in one word.
            ("-dex", &[("details", ""), ("env", "x")], ""),
            ("-dd a", &[("details", ""), ("details", "")], "a"),
            ("-c x -- -d -- y", &[("cluster", "x")], "-d -- y"),
            ("a -- -d", &[], "a -d"),
            ("- -1", &[], "- -1"),
            ("-p 1_0", &[("vcpus", "1_0")], ""),
        ] {
            let values = parse(&TOOL, line).unwrap();
            let found: Vec<(&str, &str)> =
                values.options.iter().map(|(name, value)| (*name, value.to_str().unwrap())).collect();
            assert_eq!((&found[..], values.texts().join(" ").as_str()), (options, operands), "{line}");
        }
    }

    #[test]
    fn wrong_lines() {
        for (line, says) in [
            ("-c", "argument -c/--cluster: expected one argument"),
            ("-c -d", "argument -c/--cluster: expected one argument"),
            ("-p x", "argument -p/--vcpus: invalid int value: 'x'"),
            ("--details=x", "argument -d/--details: ignored explicit argument 'x'"),
            ("-dx", "argument -d/--details: ignored explicit argument 'x'"),
            ("--env-", "argument -eb/--env-blacklist: expected one argument"),
            ("--e x", "ambiguous option: --e could match --env, --env-blacklist"),
            ("-x a -y", "unrecognized arguments: -x -y"),
            // The first operands are all that count.
            ("a -d b", "unrecognized arguments: b"),
            ("a -d -- b", "unrecognized arguments: -- b"),
        ] {
            let says = NoValues::Wrong(says.to_owned());
            assert_eq!(parse(&TOOL, line), Err(says), "{line}");
        }
        for line in ["-x -h -p x", "-hd -c"] {
            assert_eq!(parse(&TOOL, line), Err(NoValues::Help), "{line}");
        }
        let one = Definition { operands: Operands::One, operand: ("job_id", ""), ..TOOL };
        for (line, says) in [("a b", "b"), ("a -- b", "b"), ("a b -- c", "b -- c"), ("-- a b", "b")] {
            let says = format!("unrecognized arguments: {says}");
            assert_eq!(parse(&one, line), Err(NoValues::Wrong(says)), "{line}");
        }
        assert_eq!(
            parse(&one, "-d --"),
            Err(NoValues::Wrong("the following arguments are required: job_id".into()))
        );
    }
}
