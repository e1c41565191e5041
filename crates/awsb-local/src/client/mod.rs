//! The client: everything that the tools need of a local cluster. It finds or starts the server,
//! and asks it.
//!
//! | module      | contents                                                                   |
//! |-------------|----------------------------------------------------------------------------|
//! | here        | the connection to the server of this user                                  |
//! | `lifecycle` | starting a server, stopping it, its settings                               |
//! | `control`   | the client of the control socket                                           |
//! | `start_report` | what a server reports to the process that starts it                     |
//!
//! The client uses nothing of the server: no database, no service, no HTTP.

pub mod control;
pub mod lifecycle;
pub mod start_report;

use self::lifecycle::Program;
use crate::constants::{ACCESS_KEY_PREFIX, REGION};
use crate::error::LocalError;
use crate::home::Home;
use crate::home::endpoint::Connection;
use crate::home::files::HOME_VARIABLE;

/// A local cluster that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// How to reach it.
    pub connection: Connection,
    /// The losses that it found, a line each, if it was started for this connection.
    pub warnings: Vec<String>,
}

impl From<Connection> for Connected {
    fn from(connection: Connection) -> Self {
        Self { connection, warnings: Vec::new() }
    }
}

/// The connection to the running local cluster; starts one in the background when none answers.
///
/// This takes about a millisecond when one runs. Any number of tools may call it at the same
/// moment: they all use the same server.
///
/// # Errors
/// When the home folder cannot be used, or a server cannot be started there.
pub async fn connect(program: Program) -> Result<Connected, LocalError> {
    let home = Home::find()?;
    // `start` reports what is wrong with the home, and may also repair it.
    if let Ok(Some(connection)) = lifecycle::answering(&home) {
        return Ok(connection.into());
    }
    if let Some(connection) = enclosing(|name| std::env::var(name).ok())
        && !home.path().exists()
    {
        return Ok(connection.into());
    }
    let started = tokio::task::spawn_blocking(move || lifecycle::start(&home, &program))
        .await
        .map_err(|e| LocalError::failed(format!("starting the local cluster: {e}")))??;
    Ok(Connected { connection: started.connection, warnings: started.warnings })
}

/// The connection that a job in a container finds in its environment. There is no home in the
/// container, so the local cluster is the one that runs the job.
fn enclosing(variable: impl Fn(&str) -> Option<String>) -> Option<Connection> {
    // A home that is named has priority.
    if variable(HOME_VARIABLE).is_some() {
        return None;
    }
    let access_key_id = variable("AWS_ACCESS_KEY_ID").filter(|id| id.starts_with(ACCESS_KEY_PREFIX))?;
    Some(Connection {
        endpoint_url: variable("AWS_ENDPOINT_URL").filter(|url| !url.is_empty())?,
        region: variable("AWS_REGION").unwrap_or_else(|| REGION.to_owned()),
        access_key_id,
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
    })
}

/// The connection to the local cluster if it runs; never starts one.
pub fn running() -> Option<Connection> {
    lifecycle::answering(&Home::find().ok()?).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_container_the_environment_says_where_the_cluster_is() {
        let exported = |more: &[(&'static str, &'static str)]| {
            let mut all = vec![
                ("AWS_ENDPOINT_URL", "http://172.18.0.1:1"),
                ("AWS_ACCESS_KEY_ID", "AWSBLOCAL0"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ];
            all.extend_from_slice(more);
            enclosing(|name| all.iter().rfind(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(exported(&[]).unwrap().endpoint_url, "http://172.18.0.1:1");
        assert_eq!(exported(&[(HOME_VARIABLE, "/h")]), None);
        assert_eq!(exported(&[("AWS_ACCESS_KEY_ID", "AKIA0")]), None);
        assert_eq!(exported(&[("AWS_ENDPOINT_URL", "")]), None);
    }
}
