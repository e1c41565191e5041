//! Objects in the cluster's bucket that nobody needs any more: keys of nodes that have not been
//! deleted, and bundles that no job uses.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use aws_sdk_batch::types::{EcsTaskProperties, JobDetail, KeyValuePair, TaskContainerDetails};
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use aws_smithy_types::DateTime;

use super::listing::decode_key;
use super::ssh_keys::{NODE_KEYS, STALE_AFTER};
use crate::aws::{Call, Pages, Session, explain, explain_item};
use crate::ui::Failure;
use awsb_model::object_key;

/// The folder of bundles and large inputs, below the cluster's prefix.
const BUNDLES: &str = "bundles";
/// The objects that one call deletes (S3 API, `DeleteObjects`: up to 1,000 keys).
const PER_CALL: usize = 1000;
/// The characters of a SHA-256 in hexadecimal digits.
const DIGEST: usize = 64;

/// An object that may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftObject {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// When it was stored, in milliseconds since the epoch.
    pub modified_at: i64,
}

/// The keys of nodes that are older than a day. No job waits so long for its nodes.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn stale_node_keys(session: &Session) -> Result<Vec<LeftObject>, Failure> {
    objects(session, NODE_KEYS, Some(STALE_AFTER)).await
}

/// The bundles and large inputs that are older than this.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn old_bundles(session: &Session, than: Duration) -> Result<Vec<LeftObject>, Failure> {
    bundles(session, Some(than)).await
}

/// All bundles and large inputs.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn all_bundles(session: &Session) -> Result<Vec<LeftObject>, Failure> {
    bundles(session, None).await
}

async fn bundles(session: &Session, older_than: Option<Duration>) -> Result<Vec<LeftObject>, Failure> {
    let mut bundles = objects(session, BUNDLES, older_than).await?;
    bundles.retain(|bundle| digest(&bundle.key).is_some());
    Ok(bundles)
}

/// The objects in a folder that are older than this, or all of them.
async fn objects(
    session: &Session,
    folder: &str,
    older_than: Option<Duration>,
) -> Result<Vec<LeftObject>, Failure> {
    let bucket = &session.cluster.bucket;
    let prefix = format!("{}/", object_key(&session.cluster.prefix, folder));
    let limit = older_than
        .map(|than| SystemTime::now().checked_sub(than).map_or(DateTime::from_secs(0), DateTime::from));
    let list = session.s3.list_objects_v2().bucket(bucket).prefix(&prefix).encoding_type(EncodingType::Url);
    let mut pages = Pages::new(|token| list.clone().set_continuation_token(token).send());
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let doing = format!("listing s3://{bucket}/{prefix}");
        let page = page.map_err(|e| e.explain(session, Call::new(&doing).bucket(bucket)))?;
        let old = page.contents().iter().filter_map(|object| {
            let modified =
                object.last_modified().filter(|modified| limit.is_none_or(|limit| **modified < limit))?;
            Some(LeftObject {
                key: decode_key(object.key()?, page.encoding_type()),
                size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                modified_at: modified.to_millis().unwrap_or(0),
            })
        });
        found.extend(old);
    }
    Ok(found)
}

/// The digest in the key of a bundle, `…/bundles/SHA-256.tar.gz`, or of inputs, `….tar`.
pub fn digest(key: &str) -> Option<&str> {
    let (folder, name) = key.rsplit_once('/')?;
    let digest = name.strip_suffix(".tar.gz").or_else(|| name.strip_suffix(".tar"))?;
    (folder.rsplit('/').next() == Some(BUNDLES) && is_digest(digest)).then_some(digest)
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The digests of all bundles and inputs that the variables of these jobs name.
pub fn used_digests<'j>(jobs: impl IntoIterator<Item = &'j JobDetail>) -> HashSet<String> {
    jobs.into_iter().flat_map(variables).filter_map(KeyValuePair::value).flat_map(digests).collect()
}

/// The variables of all containers of a job.
fn variables(job: &JobDetail) -> Vec<&KeyValuePair> {
    let mut variables: Vec<&KeyValuePair> =
        job.container().map(|container| container.environment()).unwrap_or_default().iter().collect();
    for range in job.node_properties().map(|nodes| nodes.node_range_properties()).unwrap_or_default() {
        variables.extend(range.container().map(|c| c.environment()).unwrap_or_default());
        let tasks = range.ecs_properties().map(|ecs| ecs.task_properties()).unwrap_or_default();
        variables.extend(tasks.iter().flat_map(EcsTaskProperties::containers).flat_map(|c| c.environment()));
    }
    let tasks = job.ecs_properties().map(|ecs| ecs.task_properties()).unwrap_or_default();
    let containers = tasks.iter().flat_map(|task| task.containers());
    variables.extend(containers.flat_map(TaskContainerDetails::environment));
    variables
}

/// The digests behind `bundles/` in a text.
fn digests(text: &str) -> impl Iterator<Item = String> {
    let folder = format!("{BUNDLES}/");
    let names: Vec<String> = text
        .match_indices(&folder)
        .filter_map(|(at, _)| text.get(at + folder.len()..at + folder.len() + DIGEST))
        .filter(|digest| is_digest(digest))
        .map(str::to_owned)
        .collect();
    names.into_iter()
}

/// Removes objects. Returns a failure for each that could not be removed, by its key.
///
/// # Errors
/// When S3 refuses the call or cannot be asked.
pub async fn remove_objects(session: &Session, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure> {
    let bucket = &session.cluster.bucket;
    let doing = format!("removing objects from the bucket {bucket}");
    let mut failures = Vec::new();
    for chunk in keys.chunks(PER_CALL) {
        let objects = chunk.iter().filter_map(|key| ObjectIdentifier::builder().key(key).build().ok());
        let delete = Delete::builder().set_objects(Some(objects.collect())).quiet(true).build();
        let delete = delete.map_err(|e| Failure::failed(format!("{doing}: {e}")))?;
        let answer = session.s3.delete_objects().bucket(bucket).delete(delete).send().await;
        let answer = answer.map_err(|e| explain(session, Call::new(&doing).bucket(bucket), &e))?;
        failures.extend(answer.errors().iter().filter_map(|error| {
            let key = error.key()?;
            let doing = format!("removing s3://{bucket}/{key}");
            let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
            Some((key.to_owned(), explain_item(session, &doing, code, message)))
        }));
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::ContainerDetail;

    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn bundles_are_known_by_their_names() {
        for key in [format!("bundles/{SHA}.tar.gz"), format!("awsb/b/bundles/{SHA}.tar")] {
            assert_eq!(digest(&key), Some(SHA));
        }
        for key in [
            format!("bundles/{SHA}"),
            format!("{SHA}.tar"),
            format!("outputs/{SHA}.tar"),
            format!("bundles/x{}.tar", &SHA[1..]),
            "bundles/short.tar".to_owned(),
        ] {
            assert_eq!(digest(&key), None, "{key}");
        }
    }

    #[test]
    fn all_bundles_that_a_job_names_are_in_use() {
        let variable = |value: String| KeyValuePair::builder().name("N").value(value).build();
        let container = ContainerDetail::builder()
            .environment(variable(format!("s3://b/awsb/bundles/{SHA}.tar.gz")))
            .environment(variable(format!("x {SHA} bundles/é")))
            .build();
        let job = JobDetail::builder().container(container).build();
        assert_eq!(used_digests([&job]), HashSet::from([SHA.to_owned()]));
    }
}
