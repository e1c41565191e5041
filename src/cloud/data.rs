//! The data that a cluster leaves: deletes buckets, log groups, and the revisions of job
//! definitions.

use aws_sdk_batch::error::ProvideErrorMetadata;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::aws::{Call, Session, explain};
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

/// Deregisters all active revisions of these job definitions (names). CloudFormation deregisters
/// the newest one, and an update keeps the older ones for jobs that name them. Returns their
/// number.
///
/// # Errors
/// When Batch refuses or cannot be asked.
pub async fn deregister(session: &Session, names: &[String]) -> Result<usize, Failure> {
    let mut revisions = Vec::new();
    for name in names {
        let call = session.batch.describe_job_definitions().job_definition_name(name).status("ACTIVE");
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let doing = format!("listing the revisions of the job definition {name}");
            let page = page.map_err(|e| explain(session, &doing, &e))?;
            let arns = page.job_definitions().iter().filter_map(|definition| definition.job_definition_arn());
            revisions.extend(arns.map(str::to_owned));
        }
    }
    let count = revisions.len();
    let calls = revisions.into_iter().map(|arn| async move {
        let sent = session.batch.deregister_job_definition().job_definition(&arn).send().await;
        sent.map(drop).map_err(|e| explain(session, &format!("deregistering the job definition {arn}"), &e))
    });
    stream::iter(calls).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
    Ok(count)
}
