//! Credentials that can be sent.
//!
//! The access key and the session token become headers of each request. The SDK panics where a
//! header has a control character.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::aws_profile::AwsFiles;
use crate::config::Cluster;

/// Credentials with a control character, such as the carriage return of a file with the line ends
/// of Windows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin} has a control character (U+{code:04X})")]
pub struct UnusableCredentials {
    /// Their origin: a variable, a key of a profile, or something that gives credentials.
    origin: String,
    /// The control character's number in Unicode.
    code: u32,
    /// The profile whose keys they are.
    profile: Option<String>,
}

impl UnusableCredentials {
    /// An error if the text has a control character.
    fn check(text: &str, origin: impl FnOnce() -> String) -> Result<(), Self> {
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(Self { origin: origin(), code: u32::from(c), profile: None }),
            None => Ok(()),
        }
    }

    /// The next step for the user.
    pub fn hint(&self) -> String {
        match &self.profile {
            Some(profile) => format!("`aws configure --profile {profile}` sets other keys"),
            None => {
                "set it again without this character, which is often the end of a line of a file".to_owned()
            }
        }
    }
}

/// A provider of credentials that gives none with a control character.
#[derive(Debug, Clone)]
pub struct CheckedCredentials {
    inner: SharedCredentialsProvider,
    /// The profile that is named for the cluster.
    profile: Option<Arc<str>>,
}

impl CheckedCredentials {
    /// Checks the credentials of this provider, which are for this cluster.
    pub fn new(inner: SharedCredentialsProvider, cluster: &Cluster) -> Self {
        Self { inner, profile: cluster.profile.as_deref().map(Arc::from) }
    }

    /// Checks what the SDK would sign requests for credentials with: keys in the environment, or
    /// else those of the profile or of the profile that its role is assumed from.
    fn check_origins(&self) -> Result<(), UnusableCredentials> {
        const VARIABLES: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        if self.profile.is_none() && VARIABLES.iter().take(2).all(|name| variable(name).is_some()) {
            return VARIABLES.iter().try_for_each(|name| {
                let value = variable(name).unwrap_or_default();
                UnusableCredentials::check(&value, || format!("the variable {name}"))
            });
        }
        let profile = self.profile.as_deref().map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
        let files = AwsFiles::read();
        for (profile, key, value) in files.keys(profile.as_deref().unwrap_or("default")) {
            UnusableCredentials::check(value, || format!("`{key}` of the profile `{profile}`"))
                .map_err(|e| UnusableCredentials { profile: Some(profile.to_owned()), ..e })?;
        }
        Ok(())
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        self.check_origins().map_err(CredentialsError::invalid_configuration)?;
        let credentials = self.inner.provide_credentials().await?;
        let parts = [
            ("access key", credentials.access_key_id()),
            ("secret access key", credentials.secret_access_key()),
            ("session token", credentials.session_token().unwrap_or_default()),
        ];
        for (name, value) in parts {
            let origin = || match &self.profile {
                Some(profile) => format!("the {name} that the profile `{profile}` leads to"),
                None => format!("the {name} that the AWS configuration leads to"),
            };
            UnusableCredentials::check(value, origin).map_err(CredentialsError::invalid_configuration)?;
        }
        Ok(credentials)
    }
}

impl ProvideCredentials for CheckedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.inner.fallback_on_interrupt()
    }
}
