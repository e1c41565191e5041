//! LSF's resource requirement strings (`lsf_admin`, Resource requirement strings).

use crate::Invalid;

/// The names of sections, but for `select`, whose name may be left out.
const NAMES: [&str; 6] = ["affinity", "cu", "order", "rusage", "same", "span"];

/// A section such as `rusage[mem=4000]`. A selection may have no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section<'a> {
    /// `select`, `rusage`, `span`, …
    pub name: &'a str,
    /// The text between the brackets.
    pub body: &'a str,
}

/// Splits a requirement into its sections. A text without a name and brackets is one `select`,
/// which is not honoured, and is shown as it was written.
///
/// # Errors
/// When a bracket has no other one, or a section has none. LSF refuses such a requirement.
pub fn sections(text: &str) -> Result<Vec<Section<'_>>, Invalid> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some(open) = rest.find('[') else {
            found.push(selection(rest)?);
            break;
        };
        // A selection without a name stands before the other sections, followed by white space.
        let name_from = rest[..open].rfind(|c: char| !c.is_ascii_alphabetic()).map_or(0, |at| {
            // The character before the name may have any length.
            at + rest[at..].chars().next().map_or(1, char::len_utf8)
        });
        let before = rest[..name_from].trim();
        if !before.is_empty() {
            found.push(selection(before)?);
        }
        let close = rest[open..].find(']').map(|at| open + at).ok_or_else(|| {
            Invalid::because(format!("a closing bracket is missing: {}]", rest[name_from..].trim_end()))
        })?;
        found.push(Section { name: &rest[name_from..open], body: &rest[open + 1..close] });
        rest = rest.get(close + 1..).unwrap_or_default().trim_start();
    }
    Ok(found)
}

/// A selection that has no name. Neither a bracket nor the name of another section is in it: they
/// are what is left of a section that was written otherwise.
fn selection(text: &str) -> Result<Section<'_>, Invalid> {
    if text.contains(']') {
        return Err(Invalid::because(format!("a bracket is closed that was not opened, in '{text}'")));
    }
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    match words.into_iter().find(|word| NAMES.contains(word)) {
        Some(name) => Err(Invalid::because(format!("brackets are missing behind {name}: write '{name}[…]'"))),
        None => Ok(Section { name: "select", body: text }),
    }
}

/// The scope of a value of `rusage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The value is for each host of the job, LSF's default (`lsf_admin`, per-task memory
    /// reservation).
    Host,
    /// The value is for each task, which is each slot.
    Task,
    /// The value is for the whole job.
    Job,
}

impl Per {
    /// A value as a `rusage` has it: `2/job`.
    pub fn of(self, value: impl std::fmt::Display) -> String {
        let scope = match self {
            Self::Host => "",
            Self::Task => "/task",
            Self::Job => "/job",
        };
        format!("{value}{scope}")
    }
}

/// Reads `NAME=VALUE[/task|/host|/job]` of a `rusage`. The value of a name alone is empty. Only the
/// first of alternatives (`||`) and phases counts.
pub fn usages(body: &str) -> impl Iterator<Item = (&str, &str, Per)> {
    let first = body.split("||").next().unwrap_or_default();
    first.split([',', ':']).filter(|one| !one.trim().is_empty()).map(|one| {
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        let (value, per) = match value.trim().rsplit_once('/') {
            Some((value, "task")) => (value, Per::Task),
            Some((value, "job")) => (value, Per::Job),
            Some((value, "host")) => (value, Per::Host),
            _ => (value.trim(), Per::Host),
        };
        // `mem=(4000 2000)` are phases. The first is the largest.
        let value = value.trim_start_matches('(').split_whitespace().next().unwrap_or_default();
        (name.trim(), value.trim_end_matches(')'), per)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_requirement_has_sections() {
        let found = |text| {
            sections(text).unwrap().iter().map(|s| format!("{}: {}", s.name, s.body)).collect::<Vec<_>>()
        };
        assert_eq!(found("rusage[mem=4000] span[hosts=1]"), ["rusage: mem=4000", "span: hosts=1"]);
        assert_eq!(found("select[mem>4000]rusage[mem=4000]"), ["select: mem>4000", "rusage: mem=4000"]);
        assert_eq!(found("type==any order[ut]"), ["select: type==any", "order: ut"]);
        assert_eq!(found("rhel6 || rhel7"), ["select: rhel6 || rhel7"]);
        assert!(found("  ").is_empty());
        for (bad, why) in [
            ("span[hosts=1", "a closing bracket is missing: span[hosts=1]"),
            ("rusage[mem=512]]", "a bracket is closed that was not opened, in ']'"),
            ("rusage[mem=512] ] span[hosts=1]", "a bracket is closed that was not opened, in ']'"),
            ("rusage mem=512", "brackets are missing behind rusage: write 'rusage[…]'"),
            ("rusage[mem=512] span(hosts=1)", "brackets are missing behind span: write 'span[…]'"),
        ] {
            assert_eq!(sections(bad).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn usages_of_a_rusage() {
        let found = |text| usages(text).collect::<Vec<_>>();
        assert_eq!(
            found("mem=500:swp=1, ngpus_physical=2"),
            [("mem", "500", Per::Host), ("swp", "1", Per::Host), ("ngpus_physical", "2", Per::Host)]
        );
        assert_eq!(found("mem=4GB/task || mem=2GB"), [("mem", "4GB", Per::Task)]);
        assert_eq!(found("mem=(400 200):duration=(10 0)")[0], ("mem", "400", Per::Host));
        assert_eq!(found("lic, mem=1,"), [("lic", "", Per::Host), ("mem", "1", Per::Host)]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"[a-zé\[\]=|/:,() ]{0,30}|.{0,20}") {
            for section in sections(&text).unwrap_or_default() {
                let _ = usages(section.body).count();
            }
        }
    }
}
