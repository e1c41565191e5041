//! Changes of the settings file by tools: a cluster is added or removed. The user's comments, and
//! the order of the lines, stay as they are.
//!
//! The text is changed and not written anew from values. The result is parsed before it is written:
//! a change that has another effect than the intended one is refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::settings::{LOCAL, Section, Settings};
use crate::ui::Failure;
use awsb_model::words;

/// A section of the settings file for a cluster that has a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterEntry {
    /// The cluster's name.
    pub name: String,
    /// The name of its stack.
    pub stack: String,
    /// The region; `None` for the local cluster.
    pub region: Option<String>,
    /// The profile of the AWS configuration, if one was chosen.
    pub profile: Option<String>,
    /// An endpoint other than AWS's own.
    pub endpoint_url: Option<String>,
    /// The proxy of the cluster.
    pub proxy: Option<String>,
    /// Whether the stack is one of the local cluster.
    pub is_local: bool,
}

impl ClusterEntry {
    /// The section as the settings hold it.
    fn section(&self) -> Section {
        Section {
            region: self.region.clone(),
            profile: self.profile.clone(),
            endpoint_url: self.endpoint_url.clone(),
            proxy: self.proxy.clone(),
            stack: Some(self.stack.clone()),
            local: self.is_local,
            ..Section::default()
        }
    }

    /// The lines of the section.
    fn text(&self) -> String {
        let mut text = format!("[cluster.{}]\nstack = {}\n", self.name, quoted(&self.stack));
        for (key, value) in [
            ("region", &self.region),
            ("profile", &self.profile),
            ("endpoint_url", &self.endpoint_url),
            ("proxy", &self.proxy),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("{key} = {}\n", quoted(value)));
            }
        }
        if self.is_local {
            text.push_str("local = true\n");
        }
        text
    }

    /// Whether a section names the same stack in the same place.
    fn is_same(&self, section: &Section) -> bool {
        let own = self.section();
        let place = |s: &Section| (s.stack.clone(), s.local, s.region.clone(), s.endpoint_url.clone());
        place(section) == place(&own)
            || (section.region.is_none() && {
                let without_region = Section { region: None, ..own };
                place(section) == place(&without_region)
            })
    }
}

/// The effect of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsChange {
    /// The file has been written.
    Written(PathBuf),
    /// The file says so already.
    Unchanged(PathBuf),
    /// The user has changed the section, or the file does not let itself be changed by lines. The
    /// text says what the user can do.
    ByHand(PathBuf, String),
}

/// That the settings have no other cluster of this name.
///
/// # Errors
/// When they have one: the name would mean two clusters.
pub fn check_free(entry: &ClusterEntry) -> Result<(), Failure> {
    let name = &entry.name;
    if name == LOCAL {
        return Err(Failure::usage("the name `local` belongs to the local cluster of this machine")
            .hint("give the cluster another name"));
    }
    let settings = SettingsFile::open()?.parse()?;
    match settings.cluster(name) {
        Some(section) if !entry.is_same(section) => Err(Failure::usage(format!(
            "the settings file {} has another cluster `{name}`",
            settings.path.display()
        ))
        .hint(format!("give the cluster another name, or remove [cluster.{name}] from the file"))),
        _ => Ok(()),
    }
}

/// Whether the settings have a section that is of no use when this place has no such stack. A
/// section for AWS may be of use with the credentials of another account.
///
/// # Errors
/// When they cannot be read.
pub fn has_stale_section(entry: &ClusterEntry) -> Result<bool, Failure> {
    let settings = SettingsFile::open()?.parse()?;
    Ok(entry.is_local && settings.cluster(&entry.name).is_some_and(|section| entry.is_same(section)))
}

/// Whether the settings name a default cluster.
///
/// # Errors
/// When they cannot be read.
pub fn has_default() -> Result<bool, Failure> {
    Ok(SettingsFile::open()?.parse()?.default_cluster.is_some())
}

/// Adds the cluster to the settings file, and makes it the default with `is_default`.
///
/// # Errors
/// When the file cannot be read or written.
pub fn add_cluster(entry: &ClusterEntry, is_default: bool) -> Result<SettingsChange, Failure> {
    let file = SettingsFile::open()?;
    let before = file.parse()?;
    let mut text = file.text.clone();
    if before.cluster(&entry.name).is_none() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&entry.text());
    }
    let mut after = before.clone();
    if after.cluster(&entry.name).is_none() {
        after.clusters.push((entry.name.clone(), entry.section()));
        after.clusters.sort_by(|a, b| a.0.cmp(&b.0));
    }
    if is_default && before.default_cluster.as_deref() != Some(&entry.name) {
        text = with_default(&text, &entry.name);
        after.default_cluster = Some(entry.name.clone());
    }
    let by_hand = || {
        let default = if is_default {
            format!(" and `default_cluster = \"{}\"` at its top", entry.name)
        } else {
            String::new()
        };
        let text = entry.text();
        let lines: Vec<String> = text.lines().map(|line| format!("`{line}`")).collect();
        format!("add these lines{default}: {}", words::and(&lines))
    };
    file.write(&text, &after, by_hand)
}

/// Removes the cluster from the settings file, if its section is as [`add_cluster`] wrote it.
///
/// # Errors
/// When the file cannot be read or written.
pub fn remove_cluster(entry: &ClusterEntry) -> Result<SettingsChange, Failure> {
    let file = SettingsFile::open()?;
    let before = file.parse()?;
    let name = &entry.name;
    let Some(section) = before.cluster(name) else { return Ok(SettingsChange::Unchanged(file.path)) };
    if !entry.is_same(section) {
        return Ok(SettingsChange::Unchanged(file.path));
    }
    let by_hand = || format!("remove [cluster.{name}], whose stack is gone");
    let is_ours = Section { region: None, ..section.clone() } == Section { region: None, ..entry.section() };
    let Some(mut text) = is_ours.then(|| without_section(&file.text, name)).flatten() else {
        return Ok(SettingsChange::ByHand(file.path, by_hand()));
    };
    let mut after = before.clone();
    after.clusters.retain(|(other, _)| other != name);
    if before.default_cluster.as_ref() == Some(name) {
        text = without_default(&text);
        after.default_cluster = None;
    }
    file.write(&text, &after, by_hand)
}

/// The settings file and its text, which is empty where there is none.
struct SettingsFile {
    path: PathBuf,
    text: String,
}

impl SettingsFile {
    fn open() -> Result<Self, Failure> {
        let Some((path, _)) = Settings::path() else {
            return Err(Failure::failed(
                "there is no folder for the settings file: HOME is not set to an absolute path",
            )
            .hint("AWSB_CONFIG names the settings file"));
        };
        // A link stays a link: the file behind it is replaced.
        let path = path.canonicalize().unwrap_or(path);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self { path, text: String::new() }),
            Err(e) => Err(Failure::failed(format!("reading the settings file {}: {e}", path.display()))),
        }
    }

    fn parse(&self) -> Result<Settings, Failure> {
        parse(&self.path, &self.text)
    }

    /// Writes the text, if it means what it is to mean.
    fn write(
        self,
        text: &str,
        meaning: &Settings,
        by_hand: impl FnOnce() -> String,
    ) -> Result<SettingsChange, Failure> {
        if text == self.text {
            return Ok(SettingsChange::Unchanged(self.path));
        }
        if parse(&self.path, text).ok().as_ref() != Some(meaning) {
            return Ok(SettingsChange::ByHand(self.path, by_hand()));
        }
        match replace(&self.path, text) {
            Ok(()) => Ok(SettingsChange::Written(self.path)),
            Err(e) => Err(Failure::failed(format!("writing the settings file {}: {e}", self.path.display()))
                .hint(by_hand())),
        }
    }
}

/// Parses a text as the settings file. Its default may be a cluster of the old tools.
fn parse(path: &Path, text: &str) -> Result<Settings, Failure> {
    let elsewhere = default_of(text);
    Settings::parse(path, text, &elsewhere.as_deref().into_iter().collect::<Vec<_>>())
}

/// `default_cluster` of a text.
fn default_of(text: &str) -> Option<String> {
    let root = DeTable::parse(text).ok()?;
    Some(root.get_ref().get("default_cluster")?.get_ref().as_str()?.to_owned())
}

/// Replaces a file by another text, as a whole or not at all. Its permissions stay.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // The settings name accounts and proxies: nobody else writes them, whatever the mask is.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(meta) = fs::metadata(path) {
        file.as_file().set_permissions(meta.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// A text of TOML with this content.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The text with this default: its line is changed, or becomes the first one.
fn with_default(text: &str, name: &str) -> String {
    let line = format!("default_cluster = {}", quoted(name));
    match default_line(text) {
        Some((from, to)) => format!("{}{line}{}", &text[..from], &text[to..]),
        None if text.is_empty() => format!("{line}\n"),
        None => format!("{line}\n\n{text}"),
    }
}

/// The text without the line of the default, and without an empty line behind it.
fn without_default(text: &str) -> String {
    let Some((from, to)) = default_line(text) else { return text.to_owned() };
    let rest = &text[to..];
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    let rest = if from == 0 { rest.strip_prefix('\n').unwrap_or(rest) } else { rest };
    format!("{}{rest}", &text[..from])
}

/// Where `default_cluster = …` begins and ends; a comment behind the value is not a part of it.
fn default_line(text: &str) -> Option<(usize, usize)> {
    let root = DeTable::parse(text).ok()?;
    let (key, value) = root.get_ref().get_key_value("default_cluster")?;
    Some((key.span().start, value.span().end))
}

/// The text without a section, from its header to the next one. Comments behind its last key stay:
/// they belong to what follows. `None`: there is no such header, or a comment stands among the
/// keys.
fn without_section(text: &str, name: &str) -> Option<String> {
    let header = format!("[cluster.{name}]");
    let mut offset = 0;
    let mut from = None;
    let mut to = text.len();
    let mut comment = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        match from {
            None if trimmed == header => from = Some(offset),
            Some(_) if trimmed.starts_with('[') => {
                to = offset;
                break;
            }
            Some(_) if trimmed.starts_with('#') => {
                comment.get_or_insert(offset);
            }
            Some(_) if trimmed.contains('#') || !trimmed.is_empty() && comment.is_some() => return None,
            _ => {}
        }
        offset += line.len();
    }
    let from = from?;
    let to = comment.unwrap_or(to);
    let (before, behind) = (&text[..from], &text[to..]);
    // One of the empty lines around the section goes with it.
    let before = if behind.is_empty() {
        before.strip_suffix('\n').filter(|b| b.is_empty() || b.ends_with('\n')).unwrap_or(before)
    } else {
        before
    };
    Some(format!("{before}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> ClusterEntry {
        ClusterEntry {
            name: "lab".into(),
            stack: "lab".into(),
            region: Some("eu-west-1".into()),
            ..ClusterEntry::default()
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, SettingsFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        (folder, SettingsFile { path, text: text.to_owned() })
    }

    #[test]
    fn a_section_is_as_it_reads() {
        for entry in [
            lab(),
            ClusterEntry { is_local: true, region: None, ..lab() },
            ClusterEntry {
                profile: Some("a \"b\"".into()),
                endpoint_url: Some("http://127.0.0.1:5000".into()),
                ..lab()
            },
        ] {
            let settings = Settings::parse(Path::new("config.toml"), &entry.text(), &[]).unwrap();
            assert_eq!(settings.cluster("lab"), Some(&entry.section()), "{}", entry.text());
        }
    }

    #[test]
    fn comments_and_order_stay() {
        let text = "# mine\ndefault_cluster = \"big\" # the old one\n\n[cluster.big]\nstack = \"big\"\n";
        assert_eq!(
            with_default(text, "lab"),
            "# mine\ndefault_cluster = \"lab\" # the old one\n\n[cluster.big]\nstack = \"big\"\n"
        );
        assert_eq!(without_default(text), "# mine\n\n[cluster.big]\nstack = \"big\"\n");
        let without = "# mine\n[cluster.big]\nstack = \"big\"\n";
        let with = with_default(without, "lab");
        assert_eq!(with, format!("default_cluster = \"lab\"\n\n{without}"));
        assert_eq!(without_default(&with), without);
        assert_eq!(without_default("default_cluster = \"lab\"\n"), "");
    }

    #[test]
    fn a_section_that_was_added_is_removed_without_a_trace() {
        for before in ["", "# mine\n\n[cluster.big]\nstack = \"big\"\n"] {
            let gap = if before.is_empty() { "" } else { "\n" };
            let added = format!("{before}{gap}{}", lab().text());
            assert_eq!(without_section(&added, "lab").as_deref(), Some(before));
        }
        let between = format!("{}\n[cluster.big]\nstack = \"big\"\n", lab().text());
        assert_eq!(without_section(&between, "lab").as_deref(), Some("[cluster.big]\nstack = \"big\"\n"));
        let commented = lab().text().replace("stack =", "# keep this\nstack =");
        assert_eq!(without_section(&commented, "lab"), None);
        // A comment above the next section is of that one.
        let followed = format!("{}\n# The big one.\n[cluster.big]\nstack = \"big\"\n", lab().text());
        let rest = "# The big one.\n[cluster.big]\nstack = \"big\"\n";
        assert_eq!(without_section(&followed, "lab").as_deref(), Some(rest));
        assert_eq!(without_section("[cluster]\nlab = { stack = \"lab\" }\n", "lab"), None);
    }

    #[test]
    fn a_text_with_another_meaning_is_not_written() {
        // The header stands in a string.
        let (_folder, file) = file("secret_words = [\"\"\"\n[cluster.lab]\n\"\"\"]\n");
        let meaning = Settings::parse(&file.path, "", &[]).unwrap();
        let path = file.path.clone();
        let change =
            file.write("[cluster.other]\nstack = \"x\"\n", &meaning, || "by hand".to_owned()).unwrap();
        assert_eq!(change, SettingsChange::ByHand(path, "by hand".to_owned()));
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file) = file("# mine\n");
        let path = file.path.clone();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let text = format!("# mine\n\n{}", lab().text());
        let meaning = Settings::parse(&path, &text, &[]).unwrap();
        assert_eq!(file.write(&text, &meaning, String::new).unwrap(), SettingsChange::Written(path.clone()));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn the_same_stack_in_the_same_place_is_the_same_cluster() {
        let section = |text: &str| {
            let settings = Settings::parse(Path::new("c"), text, &[]).unwrap();
            settings.cluster("lab").cloned().unwrap_or_default()
        };
        assert!(lab().is_same(&section("[cluster.lab]\nstack = \"lab\"\nregion = \"eu-west-1\"\n")));
        // A region that is not named is that of the AWS configuration.
        assert!(lab().is_same(&section("[cluster.lab]\nstack = \"lab\"\n")));
        assert!(!lab().is_same(&section("[cluster.lab]\nstack = \"lab\"\nregion = \"us-east-1\"\n")));
        assert!(!lab().is_same(&section("[cluster.lab]\nstack = \"lab\"\nlocal = true\n")));
        assert!(!lab().is_same(&section("[cluster.lab]\nstack = \"other\"\nregion = \"eu-west-1\"\n")));
    }
}
