//! The part of Systems Manager that forwards the ports of jobs: StartSession.
//!
//! With it are the URL and the token of a session, which ECS answers with, too: there, a session is
//! one of Systems Manager as well (API, ExecuteCommand: Session).

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::operation::Ssm;
use crate::batch::Handle;
use crate::constants::COMPUTE_ENVIRONMENT;
use crate::http::body::json_shape;
use crate::http::protocol::ApiError;
use crate::runner::protocol::AttemptId;
use crate::sessions::registry::{Sessions, Task};
use awsb_model::session_frames::PATH;

/// The document of a session that forwards a port (Systems Manager User Guide,
/// `session-manager-working-with-sessions-start`).
const PORT_FORWARDING: &str = "AWS-StartPortForwardingSession";

/// Opens sessions, and says where their clients connect to.
#[derive(Debug, Clone)]
pub struct SessionOpener {
    /// The sessions.
    pub sessions: Sessions,
    /// The URL of the server.
    pub endpoint_url: String,
}

/// A session as the API has it.
#[derive(Debug, Clone)]
pub struct ApiSession {
    /// Its ID.
    pub id: String,
    /// Where the client connects to.
    pub stream_url: String,
    /// The token of the client.
    pub token: String,
}

impl SessionOpener {
    /// Opens a session.
    ///
    /// # Errors
    /// When there are too many.
    pub fn open(&self, task: Task) -> Result<ApiSession, ApiError> {
        let opened = self.sessions.open(task).map_err(|e| {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException", e.to_string())
        })?;
        let stream_url = format!("{}{PATH}{}", self.endpoint_url, opened.id);
        Ok(ApiSession { id: opened.id, stream_url, token: opened.token })
    }
}

/// Systems Manager, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    opener: SessionOpener,
}

/// API: StartSessionRequest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    target: Option<String>,
    document_name: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

/// The parameters of the document.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    port_number: Vec<String>,
}

/// The attempt in `ecs:CLUSTER_TASK_RUNTIME` (ECS Developer Guide, `ecs-exec`; the runtime ID is
/// that of the container).
fn attempt_of(target: &str) -> Option<AttemptId> {
    let rest = target.strip_prefix("ecs:")?.strip_prefix(COMPUTE_ENVIRONMENT)?.strip_prefix('_')?;
    let (attempt_id, _runtime) = rest.split_once('_')?;
    AttemptId::parse(attempt_id.to_owned())
}

impl Api {
    /// Systems Manager for the jobs of an engine.
    pub fn new(engine: Handle, opener: SessionOpener) -> Self {
        Self { engine, opener }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(&self, operation: Ssm, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            Ssm::StartSession => self.start_session(body).await,
        }
    }

    async fn start_session(&self, body: &[u8]) -> Result<Value, ApiError> {
        let refused = |code, message: String| ApiError::new(StatusCode::BAD_REQUEST, code, message);
        let request: Request = json_shape(body)?;
        if request.document_name.as_deref() != Some(PORT_FORWARDING) {
            return Err(refused(
                "InvalidDocument",
                format!("the local cluster has the document {PORT_FORWARDING} only"),
            ));
        }
        let port = match request.parameters.port_number.as_slice() {
            [port] => port.parse::<u16>().ok().filter(|port| *port > 0),
            _ => None,
        };
        let port = port.ok_or_else(|| {
            refused("InvalidParameters", "portNumber is one port from 1 to 65535".to_owned())
        })?;
        let target = request.target.unwrap_or_default();
        let not_connected = || refused("TargetNotConnected", format!("{target} is not connected."));
        let attempt_id = attempt_of(&target).ok_or_else(not_connected)?;
        let task = self.engine.task(attempt_id.clone()).await?;
        let task = task.filter(|task| task.is_running).ok_or_else(not_connected)?;
        let session = self.opener.open(Task::Forward { attempt_id, port, place: task.place })?;
        Ok(json!({"SessionId": session.id, "StreamUrl": session.stream_url, "TokenValue": session.token}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_an_attempt() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(attempt_of(&format!("ecs:local_{id}_{id}-1")), AttemptId::parse(id.to_owned()));
        for wrong in ["", "i-0123", "ecs:local_1_2", &format!("ecs:other_{id}_1"), &format!("ecs:local_{id}")]
        {
            assert_eq!(attempt_of(wrong), None, "{wrong}");
        }
    }
}
