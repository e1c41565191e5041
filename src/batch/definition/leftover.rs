//! Derived job definitions that no job uses any more.

use std::collections::HashSet;

use aws_sdk_batch::types::JobDefinition;

use super::derive::{DERIVED_FROM_TAG, is_derived_name};
use crate::aws::{Pages, Session, explain};
use crate::ui::Failure;

/// A revision of a derived job definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedDefinition {
    /// `NAME:REVISION`.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The ARN of the job definition that it derives from.
    pub derived_from: String,
}

impl DerivedDefinition {
    /// A job definition that bsub has derived: it has such a name, and the tag. Somebody may have
    /// given such a name to a job definition of their own.
    fn of(definition: &JobDefinition) -> Option<Self> {
        let (name, arn) = (definition.job_definition_name()?, definition.job_definition_arn()?);
        let derived_from = definition.tags()?.get(DERIVED_FROM_TAG)?;
        is_derived_name(name).then(|| Self {
            name: format!("{name}:{}", definition.revision().unwrap_or(1)),
            arn: arn.to_owned(),
            derived_from: derived_from.clone(),
        })
    }
}

/// The active derived job definitions of the account and region that are not among those that jobs
/// use, by name. `used` has ARNs with revisions.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn unused_definitions(
    session: &Session,
    used: &HashSet<String>,
) -> Result<Vec<DerivedDefinition>, Failure> {
    let mut unused = Vec::new();
    let call = session.batch.describe_job_definitions().status("ACTIVE");
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| e.explain(session, "listing the job definitions"))?;
        let derived = page.job_definitions().iter().filter_map(DerivedDefinition::of);
        unused.extend(derived.filter(|definition| !used.contains(&definition.arn)));
    }
    unused.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(unused)
}

/// Deregisters a job definition. Its jobs go on, and a bsub that has just chosen it registers it
/// again.
///
/// # Errors
/// When Batch cannot be asked or refuses.
pub async fn deregister(session: &Session, definition: &DerivedDefinition) -> Result<(), Failure> {
    super::forget(session, &definition.name);
    let sent = session.batch.deregister_job_definition().job_definition(&definition.arn).send().await;
    let doing = format!("deregistering the job definition {}", definition.name);
    sent.map(drop).map_err(|e| explain(session, &doing, &e))
}
