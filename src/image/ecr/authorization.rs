//! What a Docker engine shows a registry of ECR.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client;
use crate::cluster::{Session, explain};
use crate::ui::Failure;

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who may pull and push: what `docker login` takes. It holds for 12 hours (ECR API, `GetAuthorizationToken`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `AWS`.
    pub user: String,
    /// The token.
    pub password: Password,
    /// The registry's URL (`proxyEndpoint`), such as `https://123456789012.dkr.ecr.eu-west-1.amazonaws.com`.
    pub registry: String,
    /// Until when it holds, in milliseconds since the epoch.
    pub expires_at: Option<i64>,
}

/// A fresh authorization, for every registry of ECR in the region of the cluster's repository.
///
/// # Errors
/// When ECR cannot be asked (`ecr:GetAuthorizationToken`), or gives none.
pub async fn authorization(session: &Session) -> Result<Authorization, Failure> {
    let doing = "getting a token for the registry of images";
    let repository = session.cluster.images.ecr_repository.as_ref();
    let client = client(session, repository.and_then(|path| path.registry.as_ref()));
    let answer = client.get_authorization_token().send().await.map_err(|e| explain(session, doing, &e))?;
    let read = || {
        let data = answer.authorization_data().first()?;
        let token = STANDARD.decode(data.authorization_token()?).ok()?;
        let (user, password) = std::str::from_utf8(&token).ok()?.split_once(':')?;
        Some(Authorization {
            user: user.to_owned(),
            password: Password(password.to_owned()),
            registry: data.proxy_endpoint().unwrap_or_default().to_owned(),
            expires_at: data.expires_at().and_then(|at| at.to_millis().ok()),
        })
    };
    read().ok_or_else(|| Failure::failed(format!("{doing}: ECR's answer has none that can be read")))
}
