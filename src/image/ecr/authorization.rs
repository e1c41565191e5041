//! The credentials of a Docker engine for a registry of ECR.

use std::fmt;

use aws_sdk_ecr::types::AuthorizationData;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::client;
use crate::aws::{Session, explain};
use crate::ui::Failure;

/// A password, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself. Only the function that sends it calls this.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The credentials that `docker login` takes, for pulling and pushing. They are valid for 12 hours
/// (ECR API, `GetAuthorizationToken`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The user name, `AWS`.
    pub user: String,
    /// The token.
    pub password: Password,
    /// The registry's URL (`proxyEndpoint`), such as
    /// `https://123456789012.dkr.ecr.eu-west-1.amazonaws.com`.
    pub registry: String,
    /// When the credentials expire, in milliseconds since the epoch.
    pub expires_at: Option<i64>,
}

/// Fresh credentials for every registry of ECR in the region of the cluster's repository.
///
/// # Errors
/// When ECR cannot be asked (`ecr:GetAuthorizationToken`), or gives none.
pub async fn authorization(session: &Session) -> Result<Authorization, Failure> {
    let doing = "getting a token for the registry of images";
    let repository = session.cluster.images.ecr_repository.as_ref();
    let client = client(session, repository.and_then(|path| path.registry.as_ref()));
    let answer = client.get_authorization_token().send().await.map_err(|e| explain(session, doing, &e))?;
    let read = answer.authorization_data().first().and_then(read);
    read.ok_or_else(|| Failure::failed(format!("{doing}: ECR's answer has no token that can be read")))
}

/// The token is `USER:PASSWORD` in Base64 (ECR API, `AuthorizationData`).
fn read(data: &AuthorizationData) -> Option<Authorization> {
    let token = STANDARD.decode(data.authorization_token()?).ok()?;
    let (user, password) = std::str::from_utf8(&token).ok()?.split_once(':')?;
    Some(Authorization {
        user: user.to_owned(),
        password: Password(password.to_owned()),
        registry: data.proxy_endpoint().unwrap_or_default().to_owned(),
        expires_at: data.expires_at().and_then(|at| at.to_millis().ok()),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecr::primitives::DateTime;

    use super::*;

    #[test]
    fn a_token_is_read_and_never_printed() {
        let data = |token: &str| AuthorizationData::builder().authorization_token(STANDARD.encode(token));
        let good = data("AWS:eyJ:x").proxy_endpoint("https://r").expires_at(DateTime::from_millis(7)).build();
        let read_good = read(&good).unwrap();
        assert_eq!((read_good.user.as_str(), read_good.password.reveal()), ("AWS", "eyJ:x"));
        assert_eq!((read_good.registry.as_str(), read_good.expires_at), ("https://r", Some(7)));
        assert!(!format!("{read_good:?}").contains("eyJ"));
        assert_eq!(read(&data("no colon").build()), None);
        assert_eq!(read(&AuthorizationData::builder().authorization_token("?").build()), None);
        assert_eq!(read(&AuthorizationData::builder().build()), None);
    }
}
