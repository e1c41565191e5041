//! The reference of all keys as Markdown, and a file in which all keys are comments.

use super::keys::{KEYS, Key};

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

/// A file in which all keys are comments with their meaning, to start from. It is the default
/// cluster.
pub fn commented_file() -> String {
    let mut text = String::new();
    for section in std::iter::once("").chain(sections()) {
        if !section.is_empty() {
            text.push_str(&format!("\n# [{section}]\n"));
        }
        for key in keys_of(section) {
            let value = match key.examples.first() {
                _ if is_toml(key.default) => key.default,
                Some(example) => example,
                None => "…",
            };
            text.push_str(&format!("# {} ({})\n", key.meaning, key.values));
            text.push_str(&format!("# {} = {value}\n", key.name()));
        }
    }
    text
}

/// Whether a default of the table is TOML and not words.
fn is_toml(default: &str) -> bool {
    let is_word = ["true", "false"].contains(&default) || default.parse::<f64>().is_ok();
    is_word || (default.starts_with(['"', '[']) && !default.contains(';'))
}

#[cfg(test)]
mod tests {
    use super::super::ClusterConfig;
    use super::*;

    #[test]
    fn the_commented_file_is_the_default_cluster_and_has_all_keys() {
        let text = commented_file();
        assert_eq!(ClusterConfig::from_toml("file", &text), Ok(ClusterConfig::default()));
        for key in KEYS {
            assert!(
                text.contains(&format!("\n# {} = ", key.name())) || text.starts_with("# "),
                "{}",
                key.path
            );
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_reference_has_a_row_for_each_key() {
        let text = reference();
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, KEYS.len());
        insta::assert_snapshot!(text);
    }
}
