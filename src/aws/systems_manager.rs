//! Systems Manager, which forwards ports of tasks.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::json::{JsonCall, JsonService, json_operation};
use super::query::{CallError, QueryError};
use super::trace::Trace;

/// The service.
const SYSTEMS_MANAGER: JsonService = JsonService { name: "SSM", signing_name: "ssm" };

/// A client of Systems Manager.
#[derive(Debug, Clone)]
pub struct SystemsManager {
    start: Operation<JsonCall, StartedSession, QueryError>,
}

/// StartSession's answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StartedSession {
    /// The ID of the session.
    pub session_id: String,
    /// Where the client connects to.
    pub stream_url: String,
    /// The token of the client.
    pub token_value: String,
}

/// The request for a session that forwards a port of a task, as the API has it (Systems Manager
/// User Guide, `session-manager-working-with-sessions-start`). The session's plugin wants it, too.
pub fn port_request(target: &str, port: u16, local_port: u16) -> Value {
    json!({
        "Target": target,
        "DocumentName": "AWS-StartPortForwardingSession",
        "Parameters": {"portNumber": [port.to_string()], "localPortNumber": [local_port.to_string()]},
    })
}

impl SystemsManager {
    /// A client for a region; with `trace`, every exchange is shown.
    pub(super) fn new(config: &SdkConfig, region: &str, trace: Option<Trace>) -> Self {
        Self { start: json_operation(&SYSTEMS_MANAGER, "StartSession", config, region, trace) }
    }

    /// Starts a session.
    ///
    /// # Errors
    /// When Systems Manager cannot be asked, or refuses.
    pub async fn start_session(&self, request: Value) -> Result<StartedSession, CallError> {
        self.start.invoke(JsonCall::targeted("AmazonSSM.StartSession", request)).await.map_err(Box::new)
    }
}
