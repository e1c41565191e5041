//! The local cluster (placeholder until the branch lands).
pub const REGION: &str = "us-east-1";
pub const BUCKET: &str = "awsb-local";
pub const QUEUE: &str = "local";
pub const JOB_DEFINITION: &str = "local";
pub const ACCESS_KEY_PREFIX: &str = "AWSBLOCAL";
pub struct Connection {
    pub endpoint_url: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}
pub async fn connect() -> Result<Connection, crate::ui::Failure> {
    Err(crate::ui::Failure::failed("not there yet"))
}
pub fn running() -> Option<Connection> {
    None
}
