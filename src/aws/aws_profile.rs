//! A profile of the AWS configuration, as far as the SDK does not tell about it: how its
//! credentials are renewed, and which certificates it trusts.

use std::path::PathBuf;

use awsb_model::ini::{Comments, Ini, IniSection};

/// At most this many profiles are followed by `source_profile`.
const LONGEST_CHAIN: usize = 8;

/// The variable that names the credentials file.
const CREDENTIALS_VARIABLE: &str = "AWS_SHARED_CREDENTIALS_FILE";

/// The file that a variable names.
fn named_by(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The kind of a profile's credentials, which says how they are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsKind {
    /// IAM Identity Center. The profile whose session it is.
    Sso(String),
    /// A session of `aws login`. The profile whose session it is.
    Login(String),
    /// A program gives them.
    Process(String),
    /// A web identity's token, which something else renews, from this file.
    WebIdentity(String),
    /// Keys in the credentials file or in the configuration. The profile that has them.
    Keys(String),
}

impl CredentialsKind {
    /// The hint that says how to renew the credentials.
    pub fn hint(&self) -> String {
        match self {
            Self::Sso(profile) => format!("`aws sso login --profile {profile}` renews them"),
            Self::Login(profile) => format!("`aws login --profile {profile}` renews them"),
            Self::Process(command) => {
                format!(
                    "the profile's `credential_process` gives them: run it by hand to see its message: {command}"
                )
            }
            Self::WebIdentity(file) => format!("they come from the token in {file}, which has to be renewed"),
            Self::Keys(profile) => format!(
                "the profile `{profile}` has keys in a file: what wrote them writes new ones, and `aws configure \
                 --profile {profile}` sets others"
            ),
        }
    }
}

/// The AWS configuration of this user: the configuration file, and the credentials file.
#[derive(Debug, Clone, Default)]
pub struct AwsFiles {
    config: Ini,
    credentials: Ini,
}

impl AwsFiles {
    /// Reads the files. A file that is missing or cannot be read counts as empty: the SDK reports
    /// what it needs of it.
    pub fn read() -> Self {
        let file = |variable: &str, name: &str| {
            let given = named_by(variable);
            let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws").join(name));
            let text = std::fs::read_to_string(given.or_else(usual)?).ok()?;
            Ini::parse(&text, Comments::Inline).ok()
        };
        Self {
            config: file("AWS_CONFIG_FILE", "config").unwrap_or_default(),
            credentials: file(CREDENTIALS_VARIABLE, "credentials").unwrap_or_default(),
        }
    }

    /// Where the credentials file is, or would be, in words.
    pub fn credentials_path() -> String {
        let named = named_by(CREDENTIALS_VARIABLE);
        named.map_or_else(|| "~/.aws/credentials".to_owned(), |path| path.display().to_string())
    }

    /// The section of a profile in the configuration file: `[profile NAME]`, or `[default]`.
    fn section(&self, profile: &str) -> Option<&IniSection> {
        let own = self.config.section(&format!("profile {profile}"));
        own.or_else(|| self.config.section("default").filter(|_| profile == "default"))
    }

    /// A value of a profile. Keys in the credentials file come first, as in the SDKs.
    fn value(&self, profile: &str, key: &str) -> Option<&str> {
        let stored = self.credentials.section(profile).and_then(|section| section.value(key));
        stored.or_else(|| self.section(profile)?.value(key))
    }

    /// The file with the certificates that a profile trusts (AWS CLI User Guide, `ca_bundle`).
    pub fn ca_bundle(&self, profile: &str) -> Option<&str> {
        self.value(profile, "ca_bundle")
    }

    /// The keys of a profile, and of those that its role is assumed from: profile, name and value.
    pub fn keys<'a>(&'a self, profile: &'a str) -> Vec<(&'a str, &'static str, &'a str)> {
        const NAMES: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
        let source = |profile: &&'a str| self.value(profile, "source_profile").filter(|next| next != profile);
        let profiles = std::iter::successors(Some(profile), source).take(LONGEST_CHAIN);
        profiles
            .flat_map(|profile| {
                NAMES.into_iter().filter_map(move |name| Some((profile, name, self.value(profile, name)?)))
            })
            .collect()
    }

    /// The kind of a profile's credentials. Those of a role are those of the profile that it is
    /// assumed from. `None`: the files do not tell.
    pub fn credentials_kind(&self, profile: &str) -> Option<CredentialsKind> {
        let mut profile = profile;
        for _ in 0..LONGEST_CHAIN {
            let value = |key: &str| self.value(profile, key);
            if let Some(file) = value("web_identity_token_file") {
                return Some(CredentialsKind::WebIdentity(file.to_owned()));
            }
            match value("source_profile").filter(|source| *source != profile) {
                Some(source) if value("role_arn").is_some() => profile = source,
                _ => return self.own_kind(profile),
            }
        }
        None
    }

    fn own_kind(&self, profile: &str) -> Option<CredentialsKind> {
        let value = |key: &str| self.value(profile, key);
        if value("sso_session").or(value("sso_start_url")).is_some() {
            return Some(CredentialsKind::Sso(profile.to_owned()));
        }
        // AWS CLI User Guide, `aws login`: it writes this key into the profile.
        if value("login_session").is_some() {
            return Some(CredentialsKind::Login(profile.to_owned()));
        }
        if value("aws_access_key_id").is_some() {
            return Some(CredentialsKind::Keys(profile.to_owned()));
        }
        value("credential_process").map(|command| CredentialsKind::Process(command.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(config: &str, credentials: &str) -> AwsFiles {
        let parse = |text: &str| Ini::parse(text, Comments::Inline).expect("a file");
        AwsFiles { config: parse(config), credentials: parse(credentials) }
    }

    #[test]
    fn the_hint_is_for_the_kind_of_the_profile() {
        let files = files(
            "[default]\nlogin_session = arn:aws:iam::1:user/me\n\
             [profile lab]\nsso_session = corp\nca_bundle = /etc/corp.pem\n\
             [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = lab\n\
             [profile deep]\nrole_arn = arn:aws:iam::1:role/d\nsource_profile = role\n\
             [profile self]\nrole_arn = x\nsource_profile = self\n\
             [profile a]\nrole_arn = x\nsource_profile = b\n[profile b]\nrole_arn = x\nsource_profile = a\n\
             [profile tool]\ncredential_process = vault-aws get # comment\n\
             [profile web]\nrole_arn = x\nweb_identity_token_file = /token\n\
             [profile empty]\nregion = eu-west-1\n",
            "[keys]\naws_access_key_id = AKIA\n[self]\naws_access_key_id = AKIA\n",
        );
        let hint = |profile: &str| files.credentials_kind(profile).map(|kind| kind.hint());
        let starts = |profile: &str, text: &str| {
            assert!(hint(profile).is_some_and(|hint| hint.contains(text)), "{profile}: {:?}", hint(profile));
        };
        starts("default", "`aws login --profile default`");
        starts("lab", "`aws sso login --profile lab`");
        starts("role", "`aws sso login --profile lab`");
        starts("deep", "`aws sso login --profile lab`");
        starts("self", "`aws configure --profile self`");
        starts("tool", "vault-aws get");
        starts("web", "/token");
        starts("keys", "`aws configure --profile keys`");
        assert_eq!((hint("a"), hint("empty"), hint("missing")), (None, None, None));
        assert_eq!((files.ca_bundle("lab"), files.ca_bundle("role")), (Some("/etc/corp.pem"), None));
    }
}
