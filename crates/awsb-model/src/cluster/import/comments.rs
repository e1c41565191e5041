//! The new configuration as TOML with comments.

use super::report::{Outcome, Report};
use crate::cluster::config::ClusterConfig;

/// Columns of a comment.
const COLUMNS: usize = 100;

/// A folder that the head node shared with all jobs, and that no key names.
const HOME: &str = "\
# The head node's /home was in every container. This makes one of EFS, for jobs that need it:
# [shared.home]
# path = \"/home\"
";

/// A configuration as text with comments: where values are from, and what was left out.
pub(super) fn comment(
    config: &ClusterConfig,
    file: &str,
    version: &str,
    region: Option<&str>,
    report: &Report,
) -> String {
    let toml = config.to_toml();
    let region = region.map(|region| format!(" --region {region}")).unwrap_or_default();
    let mut out = String::new();
    paragraph(&mut out, "", &format!("A cluster of AWS Batch, made from {file} ({version})."));
    paragraph(&mut out, "", &format!("To make it: bcluster create NAME -f THIS-FILE{region}"));
    out.push('\n');
    let mut section = String::new();
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            about(&mut out, name, report);
        } else if let Some((key, _)) = line.split_once(" = ") {
            let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            about(&mut out, &key, report);
        }
        out.push_str(line);
        out.push('\n');
    }
    if !config.shared.iter().any(|shared| shared.path == "/home" || shared.name.as_str() == "home") {
        out.push('\n');
        out.push_str(HOME);
    }
    left_out(&mut out, file, report);
    out
}

/// The remarks of the report about a key of the configuration.
fn about(out: &mut String, key: &str, report: &Report) {
    let mut sources = Vec::new();
    let mut notes: Vec<&str> = Vec::new();
    for entry in &report.entries {
        if let Outcome::Mapped { to, note } = &entry.outcome
            && to == key
        {
            sources.push(format!("{} (line {})", entry.key, entry.line));
            if !note.is_empty() && !notes.contains(&note.as_str()) {
                notes.push(note);
            }
        }
    }
    notes.extend(
        report.notes.iter().filter(|note| note.to.as_deref() == Some(key)).map(|note| note.text.as_str()),
    );
    let from = if sources.is_empty() { String::new() } else { format!("From {}.", sources.join(", ")) };
    let words: Vec<&str> =
        std::iter::once(from.as_str()).chain(notes).filter(|text| !text.is_empty()).collect();
    if !words.is_empty() {
        paragraph(out, "", &words.join(" "));
    }
}

fn left_out(out: &mut String, file: &str, report: &Report) {
    let reason = |outcome: &Outcome| match outcome {
        Outcome::Mapped { .. } => None,
        Outcome::Dropped { reason } => Some(reason.clone()),
        Outcome::Error { message, .. } => Some(format!("ERROR: {message}")),
    };
    // Keys with the same reason are one paragraph, where the first of them is.
    let mut left: Vec<(String, Vec<String>)> = Vec::new();
    for entry in &report.entries {
        let Some(reason) = reason(&entry.outcome) else { continue };
        let key = format!("{} (line {})", entry.key, entry.line);
        match left.iter_mut().find(|(of, _)| *of == reason) {
            Some((_, keys)) => keys.push(key),
            None => left.push((reason, vec![key])),
        }
    }
    if left.is_empty() {
        return;
    }
    out.push('\n');
    paragraph(out, "", &format!("Not in this configuration, from {file}:"));
    for (reason, keys) in left {
        paragraph(out, "  ", &format!("- {}: {reason}", keys.join(", ")));
    }
}

/// Comment lines with a text, whose lines after the first are indented. Control characters would
/// end the comment.
fn paragraph(out: &mut String, indent: &str, text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS && line.len() > 1 {
            out.push_str(&line);
            out.push('\n');
            line = format!("#{indent}");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
