//! The steps of a build, independent of the builder. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use indicatif::DecimalBytes;

/// The number of last lines that are shown of a step that fails.
const LAST_LINES: usize = 20;

/// An event in the output of a builder.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildEvent {
    /// A step begins.
    Started {
        /// The builder's own key of the step.
        step: String,
        /// The name of the step, such as `[2/3] RUN make`.
        name: String,
    },
    /// A step prints something. It may be a part of a line.
    Output {
        /// The key of the step.
        step: String,
        /// The time since the beginning of the step.
        after: Duration,
        /// The text.
        text: String,
    },
    /// The progress of a step, in bytes. A total of 0 means that it is unknown.
    Progress {
        /// The key of the step.
        step: String,
        /// The name of the object that is transferred.
        what: String,
        /// The number of bytes that are done.
        done: u64,
        /// The total number of bytes.
        total: u64,
    },
    /// A step has ended.
    Finished {
        /// The key of the step.
        step: String,
        /// The outcome of the step.
        how: StepOutcome,
    },
}

/// The outcome of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// The step is done. It took this long.
    Done(Duration),
    /// The result of the step was in the cache.
    Cached,
    /// The step failed for this reason.
    Failed(String),
    /// The step was cancelled, because another one failed or by the user.
    Canceled,
}

/// An update to show after an event. Steps have numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum StepUpdate {
    /// A step has begun.
    Started(usize, String),
    /// A line of a step's output.
    Output(usize, Duration, String),
    /// The progress of a step.
    Progress(usize, String),
    /// A step has ended.
    Finished(usize, StepOutcome),
}

/// A step that has begun.
#[derive(Debug)]
pub struct Step {
    /// The name of the step.
    pub name: String,
    /// The last lines of the step.
    pub last: VecDeque<String>,
    /// The outcome of the step. `None` while it runs.
    pub outcome: Option<StepOutcome>,
    /// The beginning of a line that has not ended yet.
    partial: String,
    after: Duration,
    moved: HashMap<String, (u64, u64)>,
}

/// All steps of a build that have begun, in order. Their numbers begin at 1.
#[derive(Debug, Default)]
pub struct Steps {
    steps: Vec<Step>,
    numbers: HashMap<String, usize>,
}

impl Steps {
    /// Applies an event, and returns what to show.
    pub fn apply(&mut self, event: BuildEvent) -> Vec<StepUpdate> {
        let key = match &event {
            BuildEvent::Started { step, .. }
            | BuildEvent::Output { step, .. }
            | BuildEvent::Progress { step, .. }
            | BuildEvent::Finished { step, .. } => step.clone(),
        };
        if let BuildEvent::Started { name, .. } = event {
            if self.numbers.contains_key(&key) {
                return Vec::new();
            }
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            self.steps.push(Step {
                name: name.clone(),
                last: VecDeque::new(),
                outcome: None,
                partial: String::new(),
                after: Duration::ZERO,
                moved: HashMap::new(),
            });
            self.numbers.insert(key, self.steps.len());
            return vec![StepUpdate::Started(self.steps.len(), name)];
        }
        let Some(&number) = self.numbers.get(&key) else { return Vec::new() };
        let Some(step) = self.steps.get_mut(number - 1) else { return Vec::new() };
        match event {
            BuildEvent::Started { .. } => Vec::new(),
            BuildEvent::Output { after, text, .. } => {
                step.after = after;
                step.partial.push_str(&text);
                let mut updates = Vec::new();
                while let Some((line, rest)) = step.partial.split_once('\n') {
                    let (line, rest) = (line.to_owned(), rest.to_owned());
                    updates.extend(step.line(number, &line));
                    step.partial = rest;
                }
                updates
            }
            BuildEvent::Progress { what, done, total, .. } => {
                step.moved.insert(what, (done, total));
                let (done, total) =
                    step.moved.values().fold((0, 0), |(done, total), (d, t)| (done + d, total + t));
                vec![StepUpdate::Progress(number, moved(done, total))]
            }
            BuildEvent::Finished { how, .. } => {
                if step.outcome.is_some() {
                    return Vec::new();
                }
                let rest = std::mem::take(&mut step.partial);
                let mut updates = if rest.is_empty() { Vec::new() } else { step.line(number, &rest) };
                step.outcome = Some(how.clone());
                updates.push(StepUpdate::Finished(number, how));
                updates
            }
        }
    }

    /// The step that failed.
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step.outcome, Some(StepOutcome::Failed(_))))
    }

    /// The name of a step.
    pub fn name(&self, number: usize) -> &str {
        self.steps.get(number.wrapping_sub(1)).map_or("", |step| &step.name)
    }
}

impl Step {
    fn line(&mut self, number: usize, line: &str) -> Vec<StepUpdate> {
        // The program has overwritten the text before the carriage return, such as earlier states
        // of a progress bar.
        let line = line.trim_end_matches('\r');
        let line = line.rsplit_once('\r').map_or(line, |(_, last)| last);
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
        vec![StepUpdate::Output(number, self.after, line.to_owned())]
    }
}

/// The reason why a step failed, without its command, which is in the step's name. The builders say
/// `executor failed running [C]: exit code: 1`, `process "C" did not complete successfully: exit
/// code: 1` and `The command 'C' returned a non-zero code: 1`.
pub fn reason(words: &str) -> String {
    let begins = ["executor failed running ", "process \"", "The command '"];
    let code = words.rsplit_once("code: ").map(|(_, code)| code.trim());
    match code.filter(|code| !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit())) {
        Some(code) if begins.iter().any(|begin| words.starts_with(begin)) => format!("exit code {code}"),
        _ => words.to_owned(),
    }
}

/// The name of a step, cut to this many characters.
pub fn short(name: &str, room: usize) -> String {
    match name.char_indices().nth(room) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or(name)),
        None => name.to_owned(),
    }
}

/// `12.34 MB of 30.00 MB`, as Docker counts: by thousands.
pub fn moved(done: u64, total: u64) -> String {
    match total {
        0 => DecimalBytes(done).to_string(),
        total => format!("{} of {}", DecimalBytes(done.min(total)), DecimalBytes(total)),
    }
}

impl StepUpdate {
    /// The line for a pipe, in the form that Docker has.
    pub fn plain(&self) -> Option<String> {
        Some(match self {
            StepUpdate::Started(number, name) => format!("#{number} {name}"),
            StepUpdate::Output(number, after, line) => format!("#{number} {:.3} {line}", after.as_secs_f64()),
            StepUpdate::Progress(..) | StepUpdate::Finished(_, StepOutcome::Canceled) => return None,
            StepUpdate::Finished(number, StepOutcome::Done(took)) => {
                format!("#{number} DONE {:.1}s", took.as_secs_f64())
            }
            StepUpdate::Finished(number, StepOutcome::Cached) => format!("#{number} CACHED"),
            StepUpdate::Finished(number, StepOutcome::Failed(why)) => format!("#{number} ERROR: {why}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(step: &str, name: &str) -> BuildEvent {
        BuildEvent::Started { step: step.into(), name: name.into() }
    }

    fn says(step: &str, text: &str) -> BuildEvent {
        BuildEvent::Output { step: step.into(), after: Duration::from_millis(1500), text: text.into() }
    }

    fn ends(step: &str, how: StepOutcome) -> BuildEvent {
        BuildEvent::Finished { step: step.into(), how }
    }

    #[test]
    fn a_build_in_a_pipe() {
        let mut steps = Steps::default();
        let events = [
            begins("a", "[1/2] FROM busybox"),
            ends("a", StepOutcome::Cached),
            begins("b", "[2/2] RUN  make\n  all"),
            begins("b", "again"),
            says("b", "one\nt"),
            says("b", "wo\n 10%\r 20%\r\nthree"),
            says("nobody", "lost\n"),
            ends("b", StepOutcome::Failed("exit code: 2".into())),
            ends("b", StepOutcome::Canceled),
        ];
        let lines: Vec<String> =
            events.into_iter().flat_map(|e| steps.apply(e)).filter_map(|update| update.plain()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        #1 [1/2] FROM busybox
        #1 CACHED
        #2 [2/2] RUN make all
        #2 1.500 one
        #2 1.500 two
        #2 1.500  20%
        #2 1.500 three
        #2 ERROR: exit code: 2
        ");
        let failed = steps.failed().map(|step| (step.name.as_str(), step.last.len()));
        assert_eq!(failed, Some(("[2/2] RUN make all", 4)));
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut steps = Steps::default();
        steps.apply(begins("a", "x"));
        for n in 0..100 {
            steps.apply(says("a", &format!("{n}\n")));
        }
        steps.apply(ends("a", StepOutcome::Failed(String::new())));
        let last = &steps.failed().unwrap().last;
        assert_eq!((last.len(), last[0].as_str(), last[19].as_str()), (20, "80", "99"));
    }

    #[test]
    fn a_reason_is_short() {
        for words in [
            "executor failed running [/bin/sh -c exit 3]: exit code: 3",
            "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
            "The command '/bin/sh -c exit 3' returned a non-zero code: 3",
        ] {
            assert_eq!(reason(words), "exit code 3");
        }
        for words in ["COPY failed: no such file", "process \"x\": code: none", "exit code: 3"] {
            assert_eq!(reason(words), words);
        }
    }

    #[test]
    fn names_are_cut() {
        assert_eq!([short("größer", 3), short("größe", 5), short("", 0)], ["grö…", "größe", ""]);
    }

    #[test]
    fn bytes_are_counted_by_thousands() {
        assert_eq!(moved(5, 0), "5 B");
        assert_eq!(moved(6000, 5000), "5.00 kB of 5.00 kB");
    }
}
