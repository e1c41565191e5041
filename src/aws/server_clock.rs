//! The time that a service says it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;

/// An interceptor that remembers the `Date` of the last answer, and the time of this machine when
/// it came.
#[derive(Debug, Clone, Default)]
pub struct ServerClock(Arc<Mutex<Option<(SystemTime, SystemTime)>>>);

impl ServerClock {
    /// The time of the service and the time of this machine, when the last answer came. `None` if
    /// none came, or none with a date.
    pub fn last(&self) -> Option<(SystemTime, SystemTime)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A clock that has had an answer.
    #[cfg(test)]
    pub(crate) fn of(answered: SystemTime, here: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(Some((answered, here)))))
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().and_then(|response| response.headers().get("date"));
        let time = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        if let Some(time) = time.and_then(|time| SystemTime::try_from(time).ok()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, SystemTime::now()));
        }
        Ok(())
    }
}
