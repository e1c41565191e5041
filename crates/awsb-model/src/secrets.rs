//! Recognises secret variables: by the words of their names, and by passwords in their values.
//!
//! All tools use the same list. A name is split at `_` (and at all other characters that are
//! neither letters nor digits), and whole words are compared. `PATH`, `KEYBOARD` and
//! `GIT_AUTHOR_NAME` are therefore not secrets.

use std::ops::Range;
use std::str::FromStr;

use serde_json::Value;

use super::Invalid;

/// The replacement of a secret value.
pub const MASK: &str = "***";

/// The words in the names of secrets. Their plurals count, too; see [`COUNTS`].
const WORDS: [&str; 21] = [
    "apikey",
    "auth",
    "authorization",
    "basicauth",
    "cookie",
    "cred",
    "credential",
    "dbpass",
    "jwt",
    "key",
    "oauth",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "pat",
    "secret",
    "sshpass",
    "token",
    "userpass",
];

/// The endings of words in names without `_`, such as `PGPASSWORD`. Shorter words would also match
/// ordinary ones: `COMPASS`, `MONKEY`, `SPAT`.
const ENDINGS: [&str; 14] = [
    "accesskey",
    "accountkey",
    "apikey",
    "authkey",
    "credential",
    "encryptionkey",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "sshkey",
    "token",
];

/// Beside one of these words, a plural is a number: `MAX_TOKENS`, `NUM_KEYS`.
const COUNTS: [&str; 7] = ["count", "max", "min", "n", "nr", "num", "total"];

/// The last words of names of places. With a path as its value, such a variable is not a secret:
/// `SSH_AUTH_SOCK`, `POSTGRES_PASSWORD_FILE`.
const PLACES: [&str; 6] = ["dir", "directory", "file", "path", "sock", "socket"];

/// A user name of this length before the host of a URL is a token.
const TOKEN_LENGTH: usize = 20;

/// The definition of secrets: the words above, and those of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretWords {
    more: Vec<SecretWord>,
}

/// A word from the settings, or several that must be adjacent: `dsn`, `license_server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretWord(Vec<String>);

impl FromStr for SecretWord {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let words = words(text);
        let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if words.is_empty() || !is_name {
            return Err(Invalid::because(format!(
                "'{text}' is not a word of a variable's name, such as `dsn` or `license_server`"
            )));
        }
        Ok(Self(words))
    }
}

impl SecretWords {
    /// The usual words, and `more`.
    pub fn with(more: Vec<SecretWord>) -> Self {
        Self { more }
    }

    /// Whether a variable is a secret, by its name or by its value.
    pub fn is_secret(&self, name: &str, value: &str) -> bool {
        self.is_secret_name(name, value) || has_password(name, value)
    }

    /// The value, masked if it is secret.
    pub fn shown<'v>(&self, name: &str, value: &'v str) -> &'v str {
        if self.is_secret(name, value) { MASK } else { value }
    }

    fn is_secret_name(&self, name: &str, value: &str) -> bool {
        let words = words(name);
        let has_run = |run: &SecretWord| words.windows(run.0.len()).any(|found| found == run.0);
        if self.more.iter().any(has_run) {
            return true;
        }
        let is_path = ["/", "~/", "./", "unix:/"].iter().any(|begin| value.starts_with(begin));
        if is_path && words.last().is_some_and(|last| PLACES.contains(&last.as_str())) {
            return false;
        }
        // `PWD` itself is the working directory. So is any other such variable whose value is a
        // path.
        let is_pwd = words.len() > 1 && !is_path && words.iter().any(|word| word == "pwd");
        let is_count = words.iter().any(|word| COUNTS.contains(&word.as_str()));
        is_pwd || words.iter().any(|word| is_secret_word(word, !is_count))
    }
}

/// The words of a name, in lower case: `GITHUB_TOKEN2` is `github` and `token`.
fn words(name: &str) -> Vec<String> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.map(|word| match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "" => word.to_ascii_lowercase(),
        letters => letters.to_ascii_lowercase(),
    });
    words.filter(|word| !word.is_empty()).collect()
}

fn is_secret_word(word: &str, or_plural: bool) -> bool {
    let is_one = |word: &str| WORDS.contains(&word) || has_ending(word);
    is_one(word) || (or_plural && word.strip_suffix('s').is_some_and(is_one))
}

fn has_ending(word: &str) -> bool {
    ENDINGS.iter().any(|ending| word.ends_with(ending))
}

/// Whether a value contains a password: a URL such as `postgres://me:password@host/db`, a setting
/// such as `Server=host;Password=…` or `?access_token=…`, or a private key.
fn has_password(name: &str, value: &str) -> bool {
    // A proxy may be named without `http://` (curl(1), --proxy).
    let bare = !value.contains("://") && words(name).iter().any(|word| word == "proxy");
    url_passwords(value).next().is_some()
        || (bare && url_passwords(&format!("http://{value}")).next().is_some())
        || value.contains("PRIVATE KEY-----")
        || value.split([';', '&', '?', ',', ' ', '\t', '\n', '"', '\'']).any(is_secret_setting)
}

/// Whether a text is `NAME=VALUE` with the name of a secret. Short words such as `key` do not count
/// here, as many kinds of options have them.
fn is_secret_setting(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else { return false };
    let last = words(name).pop().unwrap_or_default();
    let is_name = has_ending(&last) || matches!(last.as_str(), "pwd" | "sig" | "signature");
    is_name && !value.is_empty() && !value.starts_with('/')
}

/// The text without the passwords of the URLs in it.
pub fn without_url_passwords(text: &str) -> String {
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for Range { start, end } in url_passwords(text) {
        // A URL within the password of another URL has been removed with it.
        if let Some(before) = text.get(at..start) {
            shown.push_str(before);
            shown.push_str(MASK);
            at = end;
        }
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// The place of a value with a user-defined name in a request or an answer of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedIn {
    /// `{"name": …, "value": …}`: a variable.
    Variable,
    /// An entry of an object: a parameter or tag of a job, an option of a log driver, an argument
    /// of a build.
    Entry,
}

/// Calls `see` for each value with a user-defined name in a document.
pub fn each_named_value(document: &mut Value, see: &mut impl FnMut(NamedIn, &str, &mut String)) {
    match document {
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str).map(str::to_owned);
            if let (Some(name), Some(Value::String(value))) = (name, fields.get_mut("value")) {
                see(NamedIn::Variable, &name, value);
            }
            for (key, field) in fields {
                if let ("parameters" | "tags" | "options" | "buildArgs", Value::Object(entries)) =
                    (key.as_str(), &mut *field)
                {
                    for (name, entry) in entries {
                        if let Value::String(value) = entry {
                            see(NamedIn::Entry, name, value);
                        }
                    }
                }
                each_named_value(field, see);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| each_named_value(element, see)),
        _ => {}
    }
}

/// The ranges of the passwords of the URLs in a text.
fn url_passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    const SCHEME_END: &str = "://";
    text.match_indices(SCHEME_END).filter_map(|(scheme_end, _)| {
        let begin = scheme_end + SCHEME_END.len();
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '\\');
        let url = text.get(begin..)?.split(is_end).next()?;
        // RFC 3986, 3.2: the authority ends with the next `/`, `?` or `#`.
        let authority = url.split(['/', '?', '#']).next()?;
        let user_end = authority.rfind('@').or_else(|| {
            // The password has a `/` that should have been `%2F`; a port would be a number.
            let (_, port) = authority.split_once(':').filter(|_| !authority.starts_with('['))?;
            let is_port = port.bytes().all(|b| b.is_ascii_digit());
            url.rfind('@').filter(|_| !is_port)
        })?;
        let user = url.get(..user_end)?;
        let is_http = text.get(..scheme_end)?.ends_with("http") || text.get(..scheme_end)?.ends_with("https");
        match user.split_once(':') {
            Some((_, "")) => None,
            Some((name, _)) => Some(begin + name.len() + 1..begin + user_end),
            None => (is_http && user.len() >= TOKEN_LENGTH).then_some(begin..begin + user_end),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_secret(name: &str, value: &str) -> bool {
        SecretWords::default().is_secret(name, value)
    }

    #[test]
    fn ordinary_names() {
        let ordinary = [
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "LANG",
            "TERM",
            "SHELL",
            "EDITOR",
            "DISPLAY",
            "XAUTHORITY",
            "SSH_AGENT_PID",
            "SSH_CONNECTION",
            "GIT_AUTHOR_NAME",
            "GIT_AUTHOR_EMAIL",
            "GIT_ASKPASS",
            "GPG_TTY",
            "PYTHONPATH",
            "PATTERN",
            "PATIENT_ID",
            "COMPASS_HOME",
            "BYPASS_CACHE",
            "LOWPASS_HZ",
            "PASSES",
            "PASSENGERS",
            "MONKEY",
            "KEYBOARD",
            "KEYMAP",
            "XKB_DEFAULT_LAYOUT",
            "TOKENIZERS_PARALLELISM",
            "MAX_TOKENS",
            "MAX_NEW_TOKENS",
            "NUM_KEYS",
            "AUTHOR",
            "AUTHORITY",
            "COOKIECUTTER_CONFIG",
            "SECRETARY",
            "OMP_NUM_THREADS",
            "CUDA_VISIBLE_DEVICES",
            "CONDA_DEFAULT_ENV",
            "CONDA_PREFIX",
            "LD_LIBRARY_PATH",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
            "LS_COLORS",
            "R_LIBS_USER",
            "JULIA_DEPOT_PATH",
            "NXF_OPTS",
            "SLURM_JOB_ID",
            "SLURM_CPUS_PER_TASK",
            "AWS_REGION",
            "AWSB_OUTPUT_URL",
            "_",
            "N",
        ];
        assert!(ordinary.len() >= 40);
        for name in ordinary {
            assert!(!is_secret(name, "value"), "{name}");
        }
    }

    #[test]
    fn secret_names() {
        for name in [
            "DB_PASS",
            "PASS",
            "DB_PASSWORD",
            "password",
            "PASSPHRASE",
            "GPG_PASSPHRASE",
            "CLIENT_SECRET",
            "my_secret_x",
            "SECRETS",
            "GITHUB_TOKEN",
            "GITHUB_TOKEN2",
            "API_TOKENS",
            "TOKEN_OF_LAB",
            "GITHUB_PAT",
            "PAT",
            "AUTH",
            "AUTH_HEADER",
            "NPM_CONFIG__AUTH",
            "npm_config_//registry.example.org/:_authToken",
            "OAUTH2",
            "COOKIE",
            "SESSION_COOKIES",
            "JWT",
            "X_JWT_1",
            "API_KEY",
            "KEY",
            "KEYS",
            "AWS_ACCESS_KEY_ID",
            "OPENAI_API_KEY",
            "CREDENTIAL",
            "CREDENTIALS",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "HF_CREDS",
            "MYSQL_PWD",
            "PGPASSWORD",
            "SSHPASS",
            "MYPASSWD",
            "APIKEY",
            "NPMTOKEN",
            "clientSecret",
            "db.password",
            "secretAccessKey",
        ] {
            assert!(is_secret(name, "value"), "{name}");
            assert_eq!(SecretWords::default().shown(name, "value"), MASK);
        }
    }

    #[test]
    fn a_name_that_says_where_a_secret_is_has_a_path() {
        for (name, value, expected) in [
            ("SSH_AUTH_SOCK", "/tmp/ssh-XX/agent.1", false),
            ("SSH_AUTH_SOCK", "hunter2", true),
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/pg", false),
            ("SSL_KEY_PATH", "~/.ssl/key.pem", false),
            ("KEY_FILE_CONTENT", "/abc", true),
            ("DB_PASSWORD", "/abc", true),
            ("PROJECT_PWD", "/home/me", false),
        ] {
            assert_eq!(is_secret(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn values_that_carry_a_password() {
        for (name, value) in [
            ("DATABASE_URL", "postgres://me:hunter2@db.example/x"),
            ("DATABASE_URL", "jdbc:postgresql://me:hunter2@db.example:5432/x"),
            ("REDIS", "redis://:hunter2@host"),
            ("DB", "postgres://me:hun/ter2@db.example/x"),
            ("DB", "postgres://me:hun@ter2@db.example/x"),
            ("INDEX", "see https://me:hunter2@pypi.example/simple now"),
            ("HTTPS_PROXY", "http://me:hunter2@proxy:3128"),
            ("https_proxy", "me:hunter2@proxy:3128"),
            ("REMOTE", "https://ghp_0123456789abcdefghij@github.com/x/y"),
            ("ODBC", "Server=db;Uid=me;Pwd=hunter2"),
            ("ODBC", "Server=db;User=me;Password=hunter2;"),
            ("LIBPQ", "host=db user=me password=hunter2"),
            ("LINK", "https://host/file?x=1&access_token=abc"),
            ("LINK", "https://bucket/x?X-Amz-Signature=abc"),
            ("JAVA_OPTS", "-Xmx1g -Djavax.net.ssl.keyStorePassword=changeit"),
            ("DEPLOY", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc"),
        ] {
            assert!(is_secret(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("URL", "https://host:8080/path@v1?a=b"),
            ("URL", "http://[::1]:8080/x@y"),
            ("URL", "ssh://git@github.com/x/y"),
            ("URL", "postgres://me@db.example:5432/x"),
            ("URL", "postgres://me:@db.example/x"),
            ("MAIL", "mailto:me@example.org"),
            ("IMAGE", "ubuntu:22.04@sha256:0123456789abcdef"),
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("NO_PROXY", "localhost,127.0.0.1,.example.org"),
            ("REMOTE", "me@host:/data"),
            ("OPTS", "sort_key=3 keys=4 token="),
            ("LS_COLORS", "rs=0:di=01;34:ln=01;36"),
            ("NOTE", "the password is not in here"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }

    #[test]
    fn the_settings_add_words() {
        let secrets = SecretWords::with(["DSN", "license_server"].map(|w| w.parse().unwrap()).to_vec());
        for (name, expected) in [
            ("SENTRY_DSN", true),
            ("dsn2", true),
            ("MY_LICENSE_SERVER_1", true),
            ("LICENSE", false),
            ("SERVER_LICENSE", false),
            ("DB_PASS", true),
        ] {
            assert_eq!(secrets.is_secret(name, "x"), expected, "{name}");
        }
        for bad in ["", "_", "A*", "a b", "Ä"] {
            assert!(bad.parse::<SecretWord>().is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_go_from_urls_and_the_rest_stays() {
        for (text, shown) in [
            ("a postgres://me:hunter2@h/x b", "a postgres://me:***@h/x b"),
            (r#"{"u":"http://a:b@c","v":"http://d:e@f"}"#, r#"{"u":"http://a:***@c","v":"http://d:***@f"}"#),
            ("https://host/x", "https://host/x"),
            ("", ""),
        ] {
            assert_eq!(without_url_passwords(text), shown);
        }
    }

    proptest! {
        #[test]
        fn a_secret_word_between_others_is_found_in_any_case(
            word in prop::sample::select(&WORDS[..]), before in "([A-Z]{1,6}_)?", after in "[0-9]{0,2}(_[A-Z]{1,6})?",
            upper in any::<bool>(),
        ) {
            let word = if upper { word.to_ascii_uppercase() } else { word.to_owned() };
            let name = format!("{before}{word}{after}");
            prop_assert!(is_secret(&name, "x"), "{}", name);
        }

        #[test]
        fn no_password_is_left(
            user in "[a-z]{0,8}", password in "[a-z0-9:%@]{0,6}Q[a-z0-9:%]{0,6}", rest in "[a-z/ :]{0,12}",
        ) {
            let text = format!("x {rest} db://{user}:{password}@host.example/{rest}");
            prop_assert!(is_secret("X", &text));
            prop_assert!(!without_url_passwords(&text).contains('Q'), "{}", text);
        }

        #[test]
        fn any_text_can_be_looked_at(name in "\\PC{0,20}", value in "\\PC{0,20}(://)?\\PC{0,10}@?\\PC{0,10}") {
            let _ = is_secret(&name, &value);
            let _ = without_url_passwords(&value);
        }
    }
}
