//! A local cluster in somebody else's test, by the library.

use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_batch::Client;
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::types::{ContainerOverrides, JobStatus};
use awsb_local::LocalCluster;
use awsb_testkit::local::{PATIENCE, http_client};
use awsb_testkit::{program_built, story};

#[story]
async fn a_cluster_is_started_used_and_gone() {
    let cluster = LocalCluster::builder(program_built("awsb")).vcpus(3).start().expect("it starts");
    let home = cluster.home().to_owned();
    let connection = cluster.connection().clone();
    let credentials =
        Credentials::new(connection.access_key_id, connection.secret_access_key, None, None, "test");
    let config = aws_sdk_batch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(connection.endpoint_url)
        .http_client(http_client())
        .region(Region::new(connection.region))
        .credentials_provider(credentials)
        .build();
    let client = Client::from_conf(config);
    let overrides = ContainerOverrides::builder().command("true").build();
    let submitted = client
        .submit_job()
        .job_name("embedded")
        .job_queue("local")
        .job_definition("local")
        .container_overrides(overrides)
        .send()
        .await;
    let id = submitted.expect("it is taken").job_id.expect("an ID");
    let succeeded = async {
        loop {
            let jobs = client.describe_jobs().jobs(&id).send().await.expect("an answer");
            if jobs.jobs().first().and_then(|job| job.status.clone()) == Some(JobStatus::Succeeded) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, succeeded).await.expect("the job succeeds");
    let environments = client.describe_compute_environments().send().await.expect("an answer");
    let resources = environments.compute_environments().first().and_then(|e| e.compute_resources.as_ref());
    assert_eq!(resources.and_then(|r| r.maxv_cpus), Some(3));
    cluster.stop().expect("it stops");
    assert!(!home.exists());
    client.describe_jobs().jobs(&id).send().await.expect_err("nobody is there");
}

#[story]
fn a_cluster_needs_the_program() {
    let error = LocalCluster::builder(PathBuf::from("/nowhere/awsb")).start().expect_err("no program");
    assert!(error.message().contains("there is no program /nowhere/awsb"), "{error}");
}
