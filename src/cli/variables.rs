//! The variables of the environment that tools read as text.

use std::ffi::{OsStr, OsString};

use crate::ui::Failure;

/// The variables with such names that are paths, which need not be Unicode.
const PATHS: [&str; 2] = ["AWSB_CONFIG", "AWSB_LOCAL_HOME"];

/// Fails for a variable of ours, of AWS or of proxies that is not Unicode. Else such a variable
/// would count as missing, and a tool would use another cluster, account or way than it names.
///
/// # Errors
/// When there is one; the message names it.
pub(super) fn check(mut variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Failure> {
    match variables.find(|(name, value)| is_text(name) && value.to_str().is_none()) {
        None => Ok(()),
        Some((name, value)) => {
            let name = name.to_string_lossy();
            Err(Failure::usage(format!(
                "the variable {name} is not valid UTF-8: {}",
                value.to_string_lossy()
            ))
            .hint(format!("set it again, or remove it: `unset {name}`")))
        }
    }
}

/// Whether the variable of this name is read as text.
fn is_text(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_proxy = name.len() <= "https_proxy".len() && name.to_ascii_lowercase().ends_with("_proxy");
    let is_ours = name.starts_with("AWSB_") || name.starts_with("AWS_");
    (is_ours || is_proxy) && !PATHS.contains(&&*name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn failure(name: &str, value: &[u8]) -> Option<String> {
        let variables = [
            ("HOME".into(), OsString::from_vec(b"/h\xff".to_vec())),
            (name.into(), OsString::from_vec(value.to_vec())),
        ];
        check(variables.into_iter()).err().map(|failure| failure.message().to_owned())
    }

    #[test]
    fn a_variable_that_is_not_unicode_is_named() {
        for name in ["AWSB_CLUSTER", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "https_proxy", "NO_PROXY"] {
            assert!(failure(name, b"prod\xff").is_some_and(|message| message.contains(name)), "{name}");
            assert_eq!(failure(name, b"prod"), None, "{name}");
        }
    }

    #[test]
    fn a_path_and_the_variables_of_others_may_be_anything() {
        for name in ["AWSB_CONFIG", "AWSB_LOCAL_HOME", "LS_COLORS", "PATH"] {
            assert_eq!(failure(name, b"/h\xff"), None, "{name}");
        }
    }
}
