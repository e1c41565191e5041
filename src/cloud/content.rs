//! The wanted content of a cluster's stack: the template of a configuration in an account.

use aws_sdk_s3::primitives::ByteStream;
use awsb_model::cluster::config::{Repository, SharedSource, Vpc};
use awsb_model::cluster::facts::NetworkError;
use awsb_model::cluster::validate::{
    validate_account, validate_file_systems, validate_network, validate_types, validate_user_policy,
};
use awsb_model::cluster::{
    BODY_BYTES, ClusterConfig, ClusterName, NetworkFacts, OBJECT_BYTES, ResolvedNetwork, StoppedEnvironments,
    template,
};
use awsb_model::limits::STACK_RESOURCES;
use sha2::{Digest, Sha256};

use super::change_set::StackContent;
use super::facts::{gather, network};
use super::problems::check_in;
use super::remains::{Names, bucket_of, remains};
use super::stack::{CLUSTER_TAG, Stack, StackResource};
use crate::aws::{Call, Session, explain};
use crate::ui::{Failure, print_message};

/// The parameter that names the bucket, as ParallelCluster has it.
const BUCKET_PARAMETER: &str = "ResourcesS3Bucket";

/// The stack of a cluster as it is.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Its template.
    pub template: &'a str,
    /// Its resources.
    pub resources: &'a [StackResource],
    /// Its environments that are stopped, and stay so.
    pub stopped: &'a StoppedEnvironments,
}

impl Current<'_> {
    /// Whether the stack has a resource of this name in its template.
    fn has(&self, logical_id: &str) -> bool {
        let is_it = |resource: &StackResource| {
            resource.logical_resource_id == logical_id && resource.resource_status != "DELETE_COMPLETE"
        };
        self.resources.iter().any(is_it)
    }
}

/// The content of the stack of a cluster, which has a name of its own. `current` is the stack as it
/// is, if there is one. A template that is too long for a request is stored in `template_bucket`,
/// or else in the bucket of the cluster as it is.
///
/// # Errors
/// When the account does not have what the configuration names, or cannot be asked.
pub async fn content(
    session: &Session,
    (name, stack): (&ClusterName, &str),
    config: &ClusterConfig,
    current: Option<Current<'_>>,
    template_bucket: Option<&str>,
) -> Result<StackContent, Failure> {
    let makes_bucket = config.bucket.made().is_some();
    // The bucket of a cluster keeps its name for life. Without a bucket of the cluster's own, the
    // parameter names one that existed before.
    let bucket_of_stack = current.filter(|current| makes_bucket && current.has("Bucket"));
    let bucket_of_stack = bucket_of_stack
        .map(|current| current.stack.parameters.get(BUCKET_PARAMETER).cloned().unwrap_or_default());
    // A bucket that is made now gets its name, of which the account is a part.
    let needs_account = makes_bucket && bucket_of_stack.is_none();
    let new_bucket = async {
        match needs_account {
            true => bucket_of(session, name).await.map(|bucket| bucket.to_string()),
            false => Ok(String::new()),
        }
    };
    let (facts, new_bucket) = tokio::try_join!(gather(session, config, current.is_none()), new_bucket)?;
    let network = resolved(session, config, &facts.network)?;
    let mut problems = validate_network(config, &facts.network);
    problems.extend(validate_user_policy(name, &session.region, config));
    problems.extend(validate_types(config, &facts.network, &facts.types));
    problems.extend(validate_account(config, &facts.account));
    if let Some(systems) = &facts.file_systems {
        problems.extend(validate_file_systems(config, &facts.network, systems));
    }
    check_in(session, &problems)?;
    for why in &facts.unchecked {
        print_message(format!("bcluster: note: not checked: {why}"));
    }
    let mut template = template(name, config, &network);
    let count = template.resources().count();
    if count > STACK_RESOURCES {
        return Err(Failure::usage(format!(
            "the cluster {name} would have {count} resources, and CloudFormation takes {STACK_RESOURCES} in a stack"
        ))
        .hint("make two clusters of it"));
    }
    if let Some(current) = current {
        template = template.with_stopped(current.template, current.stopped);
    }
    if config.has_efs() && !current.is_some_and(|current| current.has("Efs")) {
        note_file_systems(session, name, config).await;
    }
    let mut content = StackContent {
        template: template.to_json(),
        tags: vec![(CLUSTER_TAG.to_owned(), name.to_string())],
        ..StackContent::default()
    };
    if makes_bucket {
        // A cluster that is made again has the same name, and takes its old bucket over.
        let bucket = bucket_of_stack.unwrap_or(new_bucket);
        content.parameters.push((BUCKET_PARAMETER.to_owned(), bucket));
    }
    let bucket = content.parameters.first().map(|(_, bucket)| bucket.as_str());
    if has_remains(session, (name, stack), config, current, bucket).await {
        content.takeover = Some(template.with_static_names(stack, bucket).to_json());
    }
    if content.sent_template().len() > BODY_BYTES {
        let own = current.and_then(|current| current.stack.fact(BUCKET_PARAMETER));
        let bucket = template_bucket.or(own);
        content.template_url = Some(store(session, name, content.sent_template(), bucket).await?);
    }
    Ok(content)
}

/// Says that an earlier cluster of this name has kept a file system, and that this one makes a new
/// one. CloudFormation takes no file system over by itself, because it has no name of its own.
async fn note_file_systems(session: &Session, name: &ClusterName, config: &ClusterConfig) {
    // Where there is no EFS, or no permission to ask for it, nothing is known.
    let Ok(systems) = session.efs().file_systems().await else { return };
    let is_used = |id: &str| {
        let of_source = |source: &SharedSource| match source {
            SharedSource::Efs { file_system, .. } => file_system.as_str() == id,
            SharedSource::New { .. } | SharedSource::Mounted { .. } => false,
        };
        config.shared.iter().any(|shared| of_source(&shared.source))
    };
    for system in systems.iter().filter(|system| system.has_tag(CLUSTER_TAG, name.as_str())) {
        let id = &system.file_system_id;
        if is_used(id) {
            continue;
        }
        let target = session.aws_command(&format!(
            "efs create-mount-target --file-system-id {id} --subnet-id SUBNET --security-groups GROUP"
        ));
        let delete = session.aws_command(&format!("efs delete-file-system --file-system-id {id}"));
        print_message(format!(
            "bcluster: note: an earlier cluster {name} has kept the file system {id}; this one makes a new and \
             empty one\nhint: `source = \"{id}\"` in [shared.NAME] uses the old one, once `{target}` has given it a \
             mount target in each zone\nhint: `{delete}` removes it with its files"
        ));
    }
}

/// The template of a new cluster. AWS is asked for its network alone, and not for a new VPC.
///
/// # Errors
/// When the account does not have the network that the configuration names, or cannot be asked.
pub async fn new_template(
    session: &Session,
    name: &ClusterName,
    config: &ClusterConfig,
) -> Result<String, Failure> {
    let facts = match config.network.vpc {
        Vpc::New { .. } => NetworkFacts::default(),
        Vpc::Default | Vpc::Given { .. } => network(session, config).await?,
    };
    let network = resolved(session, config, &facts)?;
    check_in(session, &validate_network(config, &facts))?;
    Ok(template(name, config, &network).to_json())
}

/// The network that a configuration means in the account.
fn resolved(
    session: &Session,
    config: &ClusterConfig,
    facts: &NetworkFacts,
) -> Result<ResolvedNetwork, Failure> {
    ResolvedNetwork::resolve(config, facts).map_err(|why| no_network(session, why))
}

/// Whether an earlier cluster of this name, or this one before an update, has left a bucket, a
/// repository or log groups that the stack does not have. Somebody who may not ask learns from
/// CloudFormation that they exist.
async fn has_remains(
    session: &Session,
    (name, stack): (&ClusterName, &str),
    config: &ClusterConfig,
    current: Option<Current<'_>>,
    bucket: Option<&str>,
) -> bool {
    let has = |logical_id: &str| current.is_some_and(|current| current.has(logical_id));
    let mut names = Names::new(name, stack, bucket.filter(|_| !has("Bucket")));
    if !matches!(config.images.repository, Repository::New(_)) || has("Repository") {
        names.repository = None;
    }
    names.log_groups.retain(|group| !has(&group.logical_id));
    !remains(session, &names).await.is_empty()
}

/// The failure of a network that the account does not have.
fn no_network(session: &Session, why: NetworkError) -> Failure {
    let failure = Failure::usage(format!("the network of the cluster in {}: {why}", session.place()));
    let failure = match &why {
        NetworkError::NoDefaultVpc => failure
            .hint("`vpc = \"new\"` in [network] makes a VPC, `subnets = [\"subnet-…\"]` names those of another one")
            .hint(format!("`{}` makes a default VPC", session.aws_command("ec2 create-default-vpc"))),
        NetworkError::NoSubnet(_) => failure.hint(
            "a subnet needs a route to an internet gateway and public addresses, or a route to a NAT gateway; \
             without one, jobs stay in RUNNABLE",
        ),
        NetworkError::MissingSubnet(_) => failure.hint(format!(
            "`{}` lists the subnets; `--region` chooses the region",
            session.aws_command("ec2 describe-subnets")
        )),
        NetworkError::TwoVpcs(..) => failure.hint("all subnets of a cluster are in one VPC"),
    };
    failure.with_source(why)
}

/// Stores a template in a bucket, and returns its URL.
async fn store(
    session: &Session,
    name: &ClusterName,
    template: &str,
    bucket: Option<&str>,
) -> Result<String, Failure> {
    let size = template.len();
    if size > OBJECT_BYTES {
        return Err(Failure::usage(format!(
            "the template of the cluster {name} has {size} bytes, and CloudFormation takes {OBJECT_BYTES}"
        ))
        .hint("make two clusters of it"));
    }
    let Some(bucket) = bucket else {
        return Err(Failure::usage(format!(
            "the template of the cluster {name} has {size} bytes: more than CloudFormation takes without a bucket"
        ))
        .hint("`--template-bucket BUCKET` names a bucket of yours in this region, through which it goes"));
    };
    let hash = hex::encode(&Sha256::digest(template.as_bytes())[..16]);
    let key = format!("awsb/templates/{name}-{hash}.json");
    let doing = format!("storing the template in s3://{bucket}/{key}");
    let put = session.s3.put_object().bucket(bucket).key(&key).content_type("application/json");
    let put = put.body(ByteStream::from(template.as_bytes().to_vec())).send().await;
    put.map_err(|e| explain(session, Call::new(&doing).bucket(bucket), &e))?;
    Ok(session.object_url(bucket, &key))
}
