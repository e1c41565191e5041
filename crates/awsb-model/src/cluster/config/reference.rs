//! The reference of all keys as Markdown.

use super::keys::{KEYS, Key};
use super::starter::is_toml;

/// The sections of the file, in the order of the table, without the file's own keys.
fn sections() -> Vec<&'static str> {
    let mut found: Vec<&str> = Vec::new();
    for section in KEYS.iter().map(Key::section) {
        if !section.is_empty() && !found.contains(&section) {
            found.push(section);
        }
    }
    found
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section() == section)
}

/// The reference of all keys, as Markdown: a table for each section, with the default, the effect
/// of a change, and the cost without jobs.
pub fn reference() -> String {
    let mut text = String::new();
    for section in std::iter::once("").chain(sections()) {
        let head = if section.is_empty() { "The whole file".to_owned() } else { format!("`[{section}]`") };
        text.push_str(&format!("## {head}\n\n"));
        text.push_str("| key | meaning | values | default | a change | cost without jobs |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for key in keys_of(section) {
            let default =
                if is_toml(key.default) { format!("`{}`", key.default) } else { key.default.to_owned() };
            text.push_str(&format!(
                "| `{}` | {} | {} | {default} | {} | {} |\n",
                key.name(),
                key.meaning,
                key.values,
                key.on_change.describe(),
                key.idle_cost.describe(),
            ));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_a_row_for_each_key() {
        let text = reference();
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, KEYS.len());
        insta::assert_snapshot!(text);
    }
}
