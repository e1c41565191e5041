//! The part of STS that returns the identity of the caller: the owner of the home's credentials.

use http::StatusCode;
use serde_json::{Value, json};

use crate::access::operation::Sts;
use crate::constants::ACCOUNT;
use crate::http::protocol::ApiError;

/// The version of the API that STS has.
const VERSION: &str = "2011-06-15";

/// STS, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    user: String,
}

impl Api {
    /// STS for the user whose home it is.
    pub fn new() -> Self {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
        Self { user: user_name(user.map(|user| user.name).as_deref().unwrap_or("")) }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub fn call(&self, operation: Sts) -> Result<Value, ApiError> {
        match operation {
            Sts::GetCallerIdentity => Ok(json!({"GetCallerIdentity": self.identity()})),
        }
    }

    /// API: GetCallerIdentityResponse.
    fn identity(&self) -> Value {
        json!({
            "Arn": format!("arn:aws:iam::{ACCOUNT}:user/{}", self.user),
            "UserId": format!("AIDAAWSBLOCAL{ACCOUNT}"),
            "Account": ACCOUNT,
        })
    }
}

/// The operation that is asked for; its name is among the parameters, of the form or of the query.
///
/// # Errors
/// As AWS would say it, when there is none.
pub fn asked(parameters: &[(String, String)]) -> Result<Sts, ApiError> {
    let get = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let version = get("Version").unwrap_or(VERSION);
    match get("Action").map(|name| (name, Sts::named(name))) {
        Some((_, Some(operation))) if version == VERSION => Ok(operation),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "MissingAction",
            "The request must contain the parameter Action.",
        )),
        Some((other, _)) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            format!("Could not find operation {other} for version {version}"),
        )),
    }
}

/// A name that IAM could have given a user: up to 64 letters, digits and `_+=,.@-` (IAM API:
/// CreateUser).
fn user_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).take(64).collect();
    if name.is_empty() { "user".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_iam_has() {
        assert_eq!(user_name("me@lab.example"), "me@lab.example");
        assert_eq!(user_name("LAB\\jürgen <x>"), "LAB_j_rgen__x_");
        assert_eq!(user_name(""), "user");
    }
}
