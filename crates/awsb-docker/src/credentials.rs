//! The credentials that the user's `docker login` has stored.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long a credential helper may take. A slower one may have asked the user something.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// The part of `~/.docker/config.json` about credentials (Docker CLI reference, `Credential
/// stores`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// The user's credentials, by registry. Unreadable ones are left out, as `docker build` does; a
/// registry that needs them reports it.
pub async fn of_user() -> HashMap<String, DockerCredentials> {
    let Some(config) = read() else { return HashMap::new() };
    let mut found: HashMap<_, _> =
        config.auths.iter().filter_map(|(name, auth)| Some((name.clone(), auth.read()?))).collect();
    if let Some(helper) = &config.creds_store {
        // The helper lists its registries; those in the file do not count.
        let listed = ask(helper, "list", "").await.unwrap_or_default();
        let listed: HashMap<String, String> = serde_json::from_slice(&listed).unwrap_or_default();
        for registry in listed.into_keys() {
            found.extend(get(helper, registry).await);
        }
    }
    for (registry, helper) in &config.cred_helpers {
        found.extend(get(helper, registry.clone()).await);
    }
    found.into_iter().map(|(registry, credentials)| (host(&registry), credentials)).collect()
}

/// The user's credentials for the registry of an image, if `docker login` has stored any.
pub async fn of_image(image: &str) -> Option<DockerCredentials> {
    of_user().await.remove(registry_of(image))
}

/// The registry in an image's name, as credentials are stored for it (Docker CLI reference: a name
/// whose first part has neither a dot nor a colon is one of Docker Hub, but for `localhost`).
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "https://index.docker.io/v1/",
    }
}

/// A registry as the names of images have it. Only Docker Hub is stored under an old URL.
fn host(registry: &str) -> String {
    if registry.contains("index.docker.io") {
        return registry.to_owned();
    }
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    bare.split('/').next().unwrap_or(bare).to_owned()
}

fn read() -> Option<Config> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")))?;
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()
}

impl Auth {
    fn read(&self) -> Option<DockerCredentials> {
        let plain = STANDARD.decode(self.auth.as_ref()?).ok()?;
        let plain = String::from_utf8(plain).ok()?;
        let (user, password) = plain.split_once(':')?;
        Some(credentials(user, password.trim_end_matches('\0'), self.identitytoken.clone()))
    }
}

async fn get(helper: &str, registry: String) -> Option<(String, DockerCredentials)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Got {
        username: String,
        secret: String,
    }
    let got: Got = serde_json::from_slice(&ask(helper, "get", &registry).await?).ok()?;
    let credentials = match got.username.as_str() {
        // This user name means in the protocol that the secret is a token.
        "<token>" => credentials("", "", Some(got.secret)),
        user => credentials(user, &got.secret, None),
    };
    Some((registry, credentials))
}

/// The answer of a helper. Secrets go through pipes only.
async fn ask(helper: &str, action: &str, input: &str) -> Option<Vec<u8>> {
    // The name becomes a part of a program's name.
    if !helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return None;
    }
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let asked = async {
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.ok()
    };
    let output = tokio::time::timeout(HELPER_TIMEOUT, asked).await.ok()??;
    output.status.success().then_some(output.stdout)
}

/// Credentials in the form that the engine takes.
pub fn credentials(user: &str, password: &str, token: Option<String>) -> DockerCredentials {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    DockerCredentials {
        username: some(user),
        password: some(password),
        identitytoken: token.filter(|token| !token.is_empty()),
        ..DockerCredentials::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_entries() {
        let config: Config = serde_json::from_str(
            r#"{"auths": {"a:5000": {"auth": "dTpwOnE="}, "b": {}, "c": {"auth": "?"}}, "credsStore": "x", "other": 1}"#,
        )
        .unwrap();
        let read = |name: &str| config.auths[name].read().map(|c| (c.username, c.password));
        assert_eq!(read("a:5000"), Some((Some("u".into()), Some("p:q".into()))));
        assert_eq!((read("b"), read("c")), (None, None));
    }

    #[test]
    fn registries_as_images_name_them() {
        assert_eq!(host("https://registry.example.org:5000/v2/"), "registry.example.org:5000");
        assert_eq!(host("https://index.docker.io/v1/"), "https://index.docker.io/v1/");
    }

    #[test]
    fn registries_of_images() {
        for (image, registry) in [
            ("busybox", "https://index.docker.io/v1/"),
            ("library/busybox:1", "https://index.docker.io/v1/"),
            ("registry.example.org:5000/a/b:1", "registry.example.org:5000"),
            ("localhost/x", "localhost"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[tokio::test]
    async fn a_helper_has_a_name_and_no_path() {
        assert_eq!(ask("../../x", "list", "").await, None);
        assert_eq!(ask("awsb-there-is-none", "list", "").await, None);
    }
}
