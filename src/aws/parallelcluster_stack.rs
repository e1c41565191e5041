//! Reads the Batch cluster of a ParallelCluster stack.
//!
//! The names are those that `aws-parallelcluster-awsbatch-cli` (`common.py`) reads. ParallelCluster
//! 2 has the bucket among the outputs and calls its stack `parallelcluster-NAME`. ParallelCluster 3
//! has it among the parameters and calls its stack `NAME`. Each name is looked for in both places.

use std::collections::HashMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::Stack as Described;

use super::error_text::{Call, CallContext, explain};
use crate::config::Stack;
use crate::ui::Failure;

const KIND: &str = "stack";
/// The states in which the outputs of a stack are true.
const READY: [&str; 4] =
    ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"];

/// Reads a stack, from the cache if it is there.
///
/// # Errors
/// When CloudFormation cannot be asked, or when the stack does not exist, is not ready, or has
/// another scheduler.
pub async fn read(client: &Client, context: &CallContext<'_>, name: &str) -> Result<Stack, Failure> {
    if let Some(stack) = context.cache.read(KIND, name) {
        return Ok(stack);
    }
    let described = match describe(client, context, name).await? {
        Some(stack) => Some(stack),
        // ParallelCluster 2 made a stack of this name for the cluster `NAME`.
        None => describe(client, context, &format!("parallelcluster-{name}")).await?,
    };
    let cluster = &context.cluster.name;
    let Some(described) = described else {
        let region = context.region;
        return Err(Failure::failed(format!(
            "there is no CloudFormation stack `{name}` in {region}, from which the cluster `{cluster}` is \
             read"
        ))
        .hint(format!(
            "check the region of the cluster `{cluster}`, and that the stack is in this account"
        )));
    };
    let stack = resources(&described).map_err(|why| {
        Failure::failed(format!("the CloudFormation stack `{name}` of the cluster `{cluster}` {why}"))
            .with_source(why)
    })?;
    context.cache.write(KIND, name, &stack);
    Ok(stack)
}

/// Whether an answer of CloudFormation says that the stack does not exist. CloudFormation has no
/// code of its own for that.
pub fn is_missing_stack<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.code() == Some("ValidationError") && error.message().is_some_and(|m| m.contains("does not exist"))
}

/// Calls DescribeStacks. `None`: the stack does not exist, which CloudFormation calls a
/// ValidationError.
async fn describe(
    client: &Client,
    context: &CallContext<'_>,
    name: &str,
) -> Result<Option<Described>, Failure> {
    match client.describe_stacks().stack_name(name).send().await {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
        Err(e) if is_missing_stack(&e) => Ok(None),
        Err(e) => {
            let doing = format!("reading the CloudFormation stack {name}");
            Err(explain(context, &Call::new(&doing), &e))
        }
    }
}

/// Why a stack is not that of a Batch cluster which can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum StackError {
    #[error("is not ready: it is {0}")]
    NotReady(String),
    #[error(
        "belongs to a cluster with the scheduler `{0}`, which has no AWS Batch queue; only `awsbatch` has one"
    )]
    OtherScheduler(String),
    #[error("has no output BatchJobQueueArn, so it is not a ParallelCluster with the scheduler awsbatch")]
    NoJobQueue,
}

/// The resources that a stack names.
fn resources(stack: &Described) -> Result<Stack, StackError> {
    let status = stack.stack_status().map_or("", |s| s.as_str());
    if !READY.contains(&status) {
        return Err(StackError::NotReady(status.to_owned()));
    }
    let parameters = stack.parameters().iter().map(|p| (p.parameter_key(), p.parameter_value()));
    let outputs = stack.outputs().iter().map(|o| (o.output_key(), o.output_value()));
    // An output is later than a parameter of the same name.
    let facts: HashMap<&str, &str> = parameters
        .chain(outputs)
        .filter_map(|(key, value)| Some((key?, value.filter(|v| !v.is_empty())?)))
        .collect();
    let fact = |key: &str| facts.get(key).map(|value| (*value).to_owned());
    match (facts.get("Scheduler"), fact("BatchJobQueueArn")) {
        (Some(scheduler), _) if *scheduler != "awsbatch" => {
            Err(StackError::OtherScheduler((*scheduler).to_owned()))
        }
        (_, None) => Err(StackError::NoJobQueue),
        (_, Some(job_queue)) => Ok(Stack {
            bucket: fact("ResourcesS3Bucket"),
            directory: fact("ArtifactS3RootDirectory"),
            job_queue,
            job_definition: fact("BatchJobDefinitionArn"),
            job_definition_mnp: fact("BatchJobDefinitionMnpArn"),
            proxy: fact("ProxyServer"),
            // ParallelCluster's project builds its own image and no other.
            codebuild_project: fact("ECRRepoUri").and(fact("CodeBuildDockerImageBuilderProject")),
            repository: fact("ECRRepoUri"),
            log_group: fact("JobLogGroup"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::{Output, Parameter, StackStatus};

    use super::*;

    fn described(status: &str, parameters: &[(&str, &str)], outputs: &[(&str, &str)]) -> Described {
        let parameter =
            |(k, v): &(&str, &str)| Parameter::builder().parameter_key(*k).parameter_value(*v).build();
        let output = |(k, v): &(&str, &str)| Output::builder().output_key(*k).output_value(*v).build();
        Described::builder()
            .stack_name("s")
            .creation_time(aws_smithy_types::DateTime::from_secs(0))
            .stack_status(StackStatus::from(status))
            .set_parameters(Some(parameters.iter().map(parameter).collect()))
            .set_outputs(Some(outputs.iter().map(output).collect()))
            .build()
    }

    #[test]
    fn both_generations() {
        let queue = ("BatchJobQueueArn", "arn:q");
        let definitions = [("BatchJobDefinitionArn", "arn:d"), ("BatchJobDefinitionMnpArn", "arn:m")];
        let place = [("ResourcesS3Bucket", "b"), ("ArtifactS3RootDirectory", "hpc-1")];
        let two = described(
            "UPDATE_COMPLETE",
            &[("Scheduler", "awsbatch"), ("ProxyServer", "NONE")],
            &[[queue, ("MasterPrivateIP", "10.0.0.1")].as_slice(), &definitions, &place].concat(),
        );
        let three = described(
            "CREATE_COMPLETE",
            &[&[("Scheduler", "awsbatch"), ("ProxyServer", "NONE")][..], &place].concat(),
            &[[queue, ("HeadNodePrivateIP", "10.0.0.1")].as_slice(), &definitions].concat(),
        );
        let read = resources(&two).unwrap();
        assert_eq!(resources(&three), Ok(read.clone()));
        assert_eq!((read.bucket.as_deref(), read.prefix().as_str()), (Some("b"), "hpc-1/batch"));
        assert_eq!(read.job_definition_mnp.as_deref(), Some("arn:m"));
    }

    #[test]
    fn what_is_no_batch_cluster() {
        let slurm = described("CREATE_COMPLETE", &[("Scheduler", "slurm")], &[]);
        let other = described("CREATE_COMPLETE", &[], &[("Url", "x")]);
        let failed = described("ROLLBACK_COMPLETE", &[("Scheduler", "awsbatch")], &[]);
        for (stack, words) in [(slurm, "`slurm`"), (other, "BatchJobQueueArn"), (failed, "ROLLBACK_COMPLETE")]
        {
            let why = resources(&stack).unwrap_err().to_string();
            assert!(why.contains(words), "{why}");
        }
    }
}
