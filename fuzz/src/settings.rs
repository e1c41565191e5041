//! The settings files.

use std::path::Path;

use awsb::config::{Defaults, OldSettings, Settings};

/// Parses a settings file: as `config.toml`, and as `awsbatch-cli.cfg` of the old tools.
///
/// # Panics
/// When a message names a line that the file does not have, or a default is not a long option.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Settings::parse(Path::new("config.toml"), text, &["old"]) {
        Ok(settings) => {
            for name in settings.names() {
                let section = settings.cluster(name).expect("each name is a cluster's");
                check(&section.defaults, text);
            }
            check(&settings.defaults, text);
            check(&settings.local_defaults, text);
        }
        Err(failure) => check_line(&failure.to_string(), text),
    }
    match OldSettings::parse(Path::new("awsbatch-cli.cfg"), text) {
        Ok(settings) => {
            for name in settings.names() {
                match settings.cluster(name) {
                    Ok(section) => {
                        let section = section.expect("each name is a cluster's");
                        assert!(
                            section.stack.is_some() || section.bucket.is_some(),
                            "[cluster {name}] has no bucket"
                        );
                    }
                    Err(mistake) => check_line(&mistake.to_string(), text),
                }
            }
            let default = settings.default_cluster.as_deref();
            assert!(
                default.is_none_or(|name| !matches!(settings.cluster(name), Ok(None))),
                "{default:?} is not a cluster"
            );
        }
        Err(failure) => check_line(&failure.to_string(), text),
    }
}

fn check(defaults: &Defaults, text: &str) {
    for line in &defaults.0 {
        check_line(&line.place, text);
        for word in &line.words {
            assert!(word.to_string_lossy().starts_with("--"), "{word:?} is not a long option");
        }
    }
}

/// Each message begins with the file and the line.
fn check_line(message: &str, text: &str) {
    let (_, rest) = message.split_once(", line ").expect("a message names its line");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let line: usize = digits.parse().expect("a line is a number");
    assert!((1..=text.matches('\n').count() + 1).contains(&line), "{message}");
}
