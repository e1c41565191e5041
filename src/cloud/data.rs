//! The data that a cluster leaves: deletes buckets, log groups, file systems, repositories, and the
//! revisions of job definitions.

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::JobDefinition;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::aws::{Call, Pages, Session, explain};
use crate::batch::definition::DERIVED_FROM_TAG;
use crate::ui::Failure;

/// At most this many job definitions are deregistered at the same time.
const CONCURRENCY: usize = 8;

/// Deletes an empty bucket. One that does not exist is deleted already.
///
/// # Errors
/// When S3 refuses or cannot be asked.
pub async fn delete_bucket(session: &Session, bucket: &str) -> Result<(), Failure> {
    match session.s3.delete_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(()),
        Err(e) if e.code() == Some("NoSuchBucket") => Ok(()),
        Err(e) => {
            Err(explain(session, Call::new(&format!("deleting the bucket {bucket}")).bucket(bucket), &e))
        }
    }
}

/// Deletes a log group. One that does not exist is deleted already.
///
/// # Errors
/// When CloudWatch Logs refuses or cannot be asked.
pub async fn delete_log_group(session: &Session, group: &str) -> Result<(), Failure> {
    match session.logs.delete_log_group().log_group_name(group).send().await {
        Ok(_) => Ok(()),
        Err(e) if e.code() == Some("ResourceNotFoundException") => Ok(()),
        Err(e) => Err(explain(session, &format!("deleting the log group {group}"), &e)),
    }
}

/// Deletes a file system that nothing mounts any more. One that does not exist is deleted already.
///
/// # Errors
/// When EFS refuses or cannot be asked.
pub async fn delete_file_system(session: &Session, file_system: &str) -> Result<(), Failure> {
    let deleted = session.efs().delete_file_system(file_system).await;
    deleted.map_err(|e| explain(session, &format!("deleting the file system {file_system}"), &*e))
}

/// Deletes a repository with its images. One that does not exist is deleted already, and so is one
/// in a place without ECR.
///
/// # Errors
/// When ECR refuses or cannot be asked.
pub async fn delete_repository(session: &Session, repository: &str) -> Result<(), Failure> {
    match session.ecr().delete_repository().repository_name(repository).force(true).send().await {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.code(), Some("RepositoryNotFoundException" | "UnknownOperationException")) => {
            Ok(())
        }
        Err(e) => Err(explain(session, &format!("deleting the repository {repository}"), &e)),
    }
}

/// Deregisters all active revisions of these job definitions (names), and of those that `bsub` has
/// derived from them. CloudFormation deregisters the newest one, and an update keeps the older ones
/// for jobs that name them. Returns their number.
///
/// # Errors
/// When Batch refuses or cannot be asked.
pub async fn deregister(session: &Session, names: &[String]) -> Result<usize, Failure> {
    if names.is_empty() {
        return Ok(0);
    }
    let is_theirs = |definition: &JobDefinition| {
        let base = definition.tags().and_then(|tags| tags.get(DERIVED_FROM_TAG));
        let base = base.map(|arn| definition_name(arn));
        let own = definition.job_definition_name();
        own.into_iter().chain(base).any(|name| names.iter().any(|other| other == name))
    };
    let mut revisions = Vec::new();
    // Batch has no filter for the beginning of a name, nor for a tag.
    let call = session.batch.describe_job_definitions().status("ACTIVE");
    let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| e.explain(session, "listing the job definitions"))?;
        let theirs = page.job_definitions().iter().filter(|definition| is_theirs(definition));
        revisions.extend(theirs.filter_map(|definition| definition.job_definition_arn().map(str::to_owned)));
    }
    let count = revisions.len();
    let calls = revisions.into_iter().map(|arn| async move {
        let sent = session.batch.deregister_job_definition().job_definition(&arn).send().await;
        sent.map(drop).map_err(|e| explain(session, &format!("deregistering the job definition {arn}"), &e))
    });
    stream::iter(calls).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
    Ok(count)
}

/// The name in the ARN of a job definition: `arn:…:job-definition/NAME:1`.
pub fn definition_name(arn: &str) -> &str {
    let name = arn.rsplit_once('/').map_or(arn, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}
