//! In what a job here may differ from one on Slurm: the table of docs/slurm.md; and what is wrong still: `not-yet.txt`.

use awsb_testkit::repository;

/// A difference that was found.
#[derive(Debug)]
pub struct Difference {
    /// `slurm/align-array.sh`.
    pub script: String,
    /// A variable, or one of: accepted, name, nodes, CPUs, memory, time limit, array, GPUs, tasks that ran, exit code, output.
    pub what: String,
    /// Slurm's value, if it has one.
    pub theirs: Option<String>,
    /// Ours.
    pub ours: Option<String>,
}

impl Difference {
    fn side(&self) -> &'static str {
        match (&self.theirs, &self.ours) {
            (Some(_), None) => "Slurm only",
            (None, Some(_)) => "awsb only",
            _ => "another value",
        }
    }

    fn shown(&self) -> String {
        let value = |value: &Option<String>| match value {
            Some(value) => format!("{value:?}"),
            None => "nothing".to_owned(),
        };
        let Self { script, what, theirs, ours } = self;
        format!("{script}: {what} ({}): Slurm has {}, awsb {}", self.side(), value(theirs), value(ours))
    }
}

/// A difference that is meant to be: a row of docs/slurm.md.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub what: String,
    pub side: String,
    /// The scripts that may show it; any, if it is `all`.
    pub scripts: String,
    pub reason: String,
}

impl Row {
    fn explains(&self, found: &Difference) -> bool {
        let name = found.script.trim_start_matches("slurm/");
        self.what == found.what
            && self.side == found.side()
            && (self.scripts == "all" || self.scripts.split(", ").any(|script| script == name))
    }
}

/// The rows of docs/slurm.md, of all its tables that are about differences.
pub fn intended() -> Vec<Row> {
    let page = std::fs::read_to_string(repository().join("docs/slurm.md")).expect("the page");
    let row = |line: &str| {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        match &cells[..] {
            [_, what, side, scripts, reason, _]
                if ["Slurm only", "awsb only", "another value"].contains(&side.as_str()) =>
            {
                let [what, side, scripts, reason] = [what, side, scripts, reason].map(String::clone);
                Some(Row { what, side, scripts, reason })
            }
            _ => None,
        }
    };
    page.lines().filter_map(row).collect()
}

/// A line of `not-yet.txt`: `SCRIPT: WHAT: REASON`. WHAT may also be `request` or `out`, for the files beside a script.
#[derive(Debug, PartialEq, Eq)]
pub struct NotYet {
    pub script: String,
    pub what: String,
    pub reason: String,
}

impl NotYet {
    /// Whether it is about this; `*` stands for all scripts.
    pub fn is_about(&self, script: &str, what: &str) -> bool {
        (self.script == "*" || self.script == script) && self.what == what
    }
}

pub fn not_yet() -> Vec<NotYet> {
    let file = super::folder().join("not-yet.txt");
    let text = std::fs::read_to_string(file).expect("the file");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.splitn(3, ": ").collect();
            let [script, what, reason] = parts[..] else { panic!("not-yet.txt: {line}") };
            let [script, what, reason] = [script, what, reason].map(str::to_owned);
            NotYet { script, what, reason }
        })
        .collect()
}

/// The differences that are neither intended nor known to be wrong, and those that are no longer
/// wrong.
pub fn unexplained(found: &[Difference]) -> Vec<String> {
    let (intended, not_yet) = (intended(), not_yet());
    let is_known = |one: &Difference| not_yet.iter().any(|known| known.is_about(&one.script, &one.what));
    let strange = found.iter().filter(|one| !is_known(one) && !intended.iter().any(|row| row.explains(one)));
    let of_the_judge = not_yet.iter().filter(|known| !["request", "out"].contains(&known.what.as_str()));
    let mended = of_the_judge.filter(|known| !found.iter().any(|one| known.is_about(&one.script, &one.what)));
    let strange = strange.map(Difference::shown);
    strange
        .chain(mended.map(|known| format!("no longer so, take it out of not-yet.txt: {known:?}")))
        .collect()
}
