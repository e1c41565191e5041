//! The service and the operation of a request, for the log.

use std::sync::{Arc, OnceLock};

/// The service and the operation of a request, once they are known.
#[derive(Debug, Clone, Default)]
pub struct RequestInfo {
    /// The name that requests to the service are signed for.
    pub service: Arc<OnceLock<&'static str>>,
    /// The name of the operation in the API.
    pub operation: Arc<OnceLock<&'static str>>,
}

impl RequestInfo {
    /// The service is known.
    pub fn set_service(&self, name: &'static str) {
        let _ = self.service.set(name);
    }

    /// The operation is known.
    pub fn set_operation(&self, name: &'static str) {
        let _ = self.operation.set(name);
    }
}
