//! The variables in the bundles of jobs, which were too large for the request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;

use super::bundle;
use crate::aws::Session;
use crate::batch::JobDetails;
use crate::ui::{Failure, print_message};
use awsb_model::payload::launcher;
use awsb_model::payload::unpack::{self, Carried};

/// Names and values.
type Variables = Vec<(String, String)>;

/// The variables in bundles, each of which is fetched once: a bundle never changes, and a view may
/// be shown again and again.
#[derive(Debug, Default)]
pub struct PackedVariables {
    /// By the bundle's `s3://` URL.
    fetched: RefCell<HashMap<String, Variables>>,
}

impl PackedVariables {
    /// Adds the variables that travel in the jobs' bundles to those of the requests: in the job
    /// they take the place of others of the same name. A bundle that cannot be read is a warning.
    pub async fn add(&self, session: &Session, all: impl Iterator<Item = &mut JobDetails>) {
        for detailed in all.filter(|detailed| is_packed(detailed)) {
            let id = &detailed.job.job_id;
            let variables = detailed.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let found = match Carried::of(variables) {
                None | Some(Carried::Script(_)) => continue,
                Some(Carried::Inline(bytes)) => read(id, bytes.as_slice()).unwrap_or_else(|e| warn(id, &e)),
                Some(Carried::Fetched { bucket, key }) => self.fetch(session, id, &bucket, &key).await,
            };
            detailed.environment.retain(|(name, _)| found.iter().all(|(other, _)| other != name));
            detailed.environment.extend(found);
        }
    }

    async fn fetch(&self, session: &Session, id: &str, bucket: &str, key: &str) -> Variables {
        let url = format!("s3://{bucket}/{key}");
        if let Some(found) = self.fetched.borrow().get(&url) {
            return found.clone();
        }
        let object = bundle::fetch(session, bucket, key).await;
        let (found, is_final) = match object.and_then(|object| read(id, object)) {
            Ok(found) => (found, true),
            // Contact may be back at the next look. A bundle that is gone or damaged stays so, and
            // one warning is enough.
            Err(failure) => (warn(id, &failure), !failure.is_retryable()),
        };
        if is_final {
            self.fetched.borrow_mut().insert(url, found.clone());
        }
        found
    }
}

/// Whether the job's variables are in its bundle.
fn is_packed(detailed: &JobDetails) -> bool {
    let command = detailed.job.own_container().and_then(|container| container.command.as_deref());
    launcher::is_packed(
        command.unwrap_or_default(),
        detailed.environment.iter().map(|(name, _)| name.as_str()),
    )
}

fn read(id: &str, bundle: impl Read) -> Result<Variables, Failure> {
    unpack::variables(bundle)
        .map_err(|e| Failure::failed(format!("unpacking the bundle of the job {id}: {e}")))
}

/// Warns that a bundle could not be read, so that its job is shown without these variables.
fn warn(id: &str, failure: &Failure) -> Variables {
    print_message(format!(
        "bstat: warning: variables in the bundle of the job {id} are not shown: {failure}"
    ));
    Vec::new()
}
