//! The AWS clients of one cluster.

use std::error::Error;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use awsb_local::{Connected, Program};

use super::answer_limit::limited;
use super::aws_cli::{advice, command_for_aws_cli};
use super::cache::Cache;
use super::credentials::CheckedCredentials;
use super::ec2::Ec2;
use super::efs::Efs;
use super::endpoints::exported;
use super::error_text::{self, Call, CallContext, Resource};
use super::parallelcluster_stack;
use super::proxy::{self, Proxy};
use super::query::endpoint;
use super::rate_limit::RateLimiter;
use super::service_answer::OnlyAnswers;
use super::service_quotas::ServiceQuotas;
use super::sts::Sts;
use super::systems_manager::SystemsManager;
use super::trace::Trace;
use crate::config::{self, Cluster, ClusterEntry, ClusterSelector, LOCAL};
use crate::ui::{ErrorKind, Failure, print_message};

/// Upper bound of the time for one connection. An unreachable endpoint is reported within 15
/// seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Upper bound of the time for one call with all its attempts.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(13);

/// The clients that talk to one cluster.
#[derive(Debug, Clone)]
pub struct Session {
    /// The cluster.
    pub cluster: Cluster,
    /// The region, from the options, the settings or the AWS configuration.
    pub region: String,
    /// AWS Batch.
    pub batch: aws_sdk_batch::Client,
    /// CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// ECS, which knows on which machines the jobs run.
    pub ecs: aws_sdk_ecs::Client,
    /// EC2, which knows what these machines are.
    pub ec2: Ec2,
    /// STS, which knows whose credentials are used.
    pub sts: Sts,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// The cache of this account and region. The local cluster has no cache.
    pub cache: Cache,
    /// CloudFormation.
    pub cloudformation: aws_sdk_cloudformation::Client,
    config: SdkConfig,
    choice: ClusterSelector,
    debug: bool,
}

impl Session {
    /// Finds the cluster and makes its clients; with `debug`, every exchange is shown on stderr.
    /// The only call is one for the cluster's stack, if it has one that is not cached. A local
    /// cluster that does not run is started.
    ///
    /// # Errors
    /// When the cluster does not exist, its stack cannot be read, or no region is set for it.
    pub async fn open(choice: &ClusterSelector, debug: bool) -> Result<Self, Failure> {
        let cluster = config::resolve(choice)?;
        for option in
            [choice.profile.as_ref().map(|_| "--profile"), choice.region.as_ref().map(|_| "--region")]
        {
            if let Some(option) = option.filter(|_| cluster.is_local) {
                print_message(format!("note: {option} has no effect on the local cluster"));
            }
        }
        let session = Self::connect(cluster, choice, debug).await?;
        let Some(name) = session.cluster.stack.clone() else { return Ok(session) };
        let stack = parallelcluster_stack::read(&session.cloudformation, &session.context(), &name).await?;
        let before = Proxy::of(&session.cluster);
        let cluster = session.cluster.clone().completed(stack)?;
        if Proxy::of(&cluster) != before {
            return Self::connect(cluster, choice, debug)
                .await
                .map(|new| Self { cache: session.cache, ..new });
        }
        Ok(Self { cluster, ..session })
    }

    /// Makes the clients for the account in which the stack of a cluster is managed
    /// ([`config::account`]). No call is made, and the cluster has no queue. A local cluster that
    /// does not run is started.
    ///
    /// # Errors
    /// When no region is set.
    pub async fn open_account(
        cluster: Cluster,
        choice: &ClusterSelector,
        debug: bool,
    ) -> Result<Self, Failure> {
        Self::connect(cluster, choice, debug).await
    }

    /// A new session with the same cluster, after a call has failed. A local cluster that has ended
    /// is started, perhaps at another port. Expired credentials are read again, as somebody may
    /// have renewed them.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn renew(&self, failure: &Failure) -> Result<Self, Failure> {
        if self.cluster.is_local || failure.kind() == ErrorKind::Credentials {
            let session = Self::connect(self.cluster.clone(), &self.choice, self.debug).await?;
            Ok(Self { cache: self.cache.clone(), ..session })
        } else {
            Ok(self.clone())
        }
    }

    /// The cluster in the words of messages: `cluster genomics, region eu-west-1`.
    pub fn describe(&self) -> String {
        let name = &self.cluster.name;
        match self.cluster.is_local {
            true => format!("cluster {name}"),
            false => format!("cluster {name}, region {}", self.region),
        }
    }

    /// The place of the cluster in words: `eu-west-1`, or `the local cluster`.
    pub fn place(&self) -> String {
        match self.cluster.is_local {
            true => "the local cluster".to_owned(),
            false => self.region.clone(),
        }
    }

    /// The image whose jobs are processes of this machine, and not containers. `None`: there is
    /// none.
    pub fn process_image(&self) -> Option<&'static str> {
        self.cluster.is_local.then_some(awsb_local::HOST_IMAGE)
    }

    /// The section of the settings file for a cluster with this stack, in the account and region of
    /// this session.
    pub fn settings_entry(&self, name: &str, stack: &str) -> ClusterEntry {
        let cluster = &self.cluster;
        let unless_local = |value: &Option<String>| value.clone().filter(|_| !cluster.is_local);
        ClusterEntry {
            name: name.to_owned(),
            stack: stack.to_owned(),
            region: unless_local(&Some(self.region.clone())),
            profile: unless_local(&cluster.profile),
            endpoint_url: unless_local(&cluster.endpoint_url),
            proxy: unless_local(&cluster.proxy),
            is_local: cluster.is_local,
        }
    }

    /// The URL of an object in S3, as other services of AWS take it.
    pub fn object_url(&self, bucket: &str, key: &str) -> String {
        match endpoint::set(&self.config, "S3") {
            Some(url) => format!("{}/{bucket}/{key}", url.trim_end_matches('/')),
            None => {
                let suffix = match self.region.as_str() {
                    region if region.starts_with("cn-") => "amazonaws.com.cn",
                    region if region.starts_with("eusc-") => "amazonaws.eu",
                    _ => "amazonaws.com",
                };
                format!("https://{bucket}.s3.{}.{suffix}/{key}", self.region)
            }
        }
    }

    /// The account, endpoint and region, as far as they can be distinguished without a call. The
    /// local cluster has an account of its own, whatever the environment says.
    pub fn scope(&self) -> Vec<String> {
        let account = if self.cluster.is_local { Default::default() } else { account_of(&self.cluster) };
        account.into_iter().chain([self.endpoint().unwrap_or_default(), self.region.clone()]).collect()
    }

    /// The endpoint, which distinguishes clusters of the same name: the folder of a local cluster,
    /// whose port may change, or the URL of Batch where it is not AWS's own.
    pub fn endpoint(&self) -> Option<String> {
        let of_configuration = || self.config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned());
        endpoint_of(&self.cluster).or_else(of_configuration)
    }

    /// The command that sets the size of a compute environment or, without a name, of the machines
    /// that jobs run on. `None`: Batch's own API does. A cluster that runs does not read its
    /// settings again, so it is stopped first; its jobs go on.
    pub fn command_to_grow(&self, environment: Option<&str>) -> Option<&'static str> {
        let is_ours = environment.is_none_or(|name| name == awsb_local::COMPUTE_ENVIRONMENT);
        (self.cluster.is_local && is_ours).then_some("blocal stop && blocal start")
    }

    /// An advice for the user, in which each command of the `aws` CLI, between backquotes, speaks
    /// to this cluster's services, and to no others.
    pub fn advice(&self, text: &str) -> String {
        advice(&self.cluster, text)
    }

    /// A command of the `aws` CLI that speaks to this cluster's services, and to no others.
    pub fn aws_command(&self, arguments: &str) -> String {
        match command_for_aws_cli(&self.cluster) {
            Some(before) => format!("{before} && aws {arguments}"),
            None => format!("aws {arguments}"),
        }
    }

    /// Whether resources of this type of CloudFormation are only simulated in the place of the
    /// cluster: nothing uses such a resource, and it is gone with its stack.
    pub fn is_simulated(&self, resource_type: &str) -> bool {
        self.cluster.is_local && awsb_local::is_simulated(resource_type)
    }

    /// The options by which `bcluster` finds the place of this session where the settings do not
    /// name the cluster.
    pub fn place_options(&self) -> String {
        if self.cluster.is_local {
            return format!("-c {LOCAL}");
        }
        let profile = self.cluster.profile.iter().map(|profile| format!(" --profile {profile}"));
        format!("--region {}", self.region) + &profile.collect::<String>()
    }

    /// The cache of the capacity of queues. That of a local cluster lives as long as its server, as
    /// the next server may have another size.
    pub fn capacity_cache(&self) -> Cache {
        if !self.cluster.is_local {
            return self.cache.clone();
        }
        let served = awsb_local::Home::find().ok().and_then(|home| Some((home.server_pid()?, home)));
        let (Some((pid, home)), Some(url)) = (served, self.config.endpoint_url()) else {
            return Cache::none();
        };
        Cache::new(vec![home.path().display().to_string(), pid.to_string(), url.to_owned()])
    }

    /// Whether a call is so cheap that a missing entry of [`Session::capacity_cache`] is asked for.
    pub fn is_near(&self) -> bool {
        self.cluster.is_local
    }

    /// A client of ECR. It is made on demand, as few tools need it.
    pub fn ecr(&self) -> aws_sdk_ecr::Client {
        let mut ecr = aws_sdk_ecr::config::Builder::from(&self.config).interceptor(OnlyAnswers::Json);
        if self.debug {
            ecr = ecr.interceptor(trace());
        }
        aws_sdk_ecr::Client::from_conf(ecr.build())
    }

    /// A client of CodeBuild. It is made on demand, as few tools need it.
    pub fn codebuild(&self) -> aws_sdk_codebuild::Client {
        let mut codebuild =
            aws_sdk_codebuild::config::Builder::from(&self.config).interceptor(OnlyAnswers::Json);
        if self.debug {
            codebuild = codebuild.interceptor(trace());
        }
        aws_sdk_codebuild::Client::from_conf(codebuild.build())
    }

    /// A client of Service Quotas. It is made on demand, as few tools need it.
    pub fn service_quotas(&self) -> ServiceQuotas {
        ServiceQuotas::new(&self.config, &self.region, self.debug.then(trace))
    }

    /// A client of EFS. It is made on demand, as few tools need it.
    pub fn efs(&self) -> Efs {
        Efs::new(&self.config, &self.region, self.debug.then(trace))
    }

    /// A client of Systems Manager. It is made on demand, as few tools need it.
    pub fn systems_manager(&self) -> SystemsManager {
        SystemsManager::new(&self.config, &self.region, self.debug.then(trace))
    }

    /// The endpoint of a service, as other programs of AWS take it. `service` is its name in the
    /// SDKs, such as `ECS`, which is in small letters in hosts.
    pub fn endpoint_of(&self, service: &str) -> String {
        let url = endpoint::url(&self.config, service, &service.to_ascii_lowercase(), &self.region);
        url.trim_end_matches('/').to_owned()
    }

    /// Whether the ECR is AWS's own: neither the settings, nor the environment, nor the AWS
    /// configuration name another endpoint. The tokens of AWS's own ECR are secrets.
    pub fn ecr_is_aws(&self) -> bool {
        endpoint::set(&self.config, "ECR").is_none()
    }

    /// Whether `--debug` was given.
    pub fn is_debugging(&self) -> bool {
        self.debug
    }

    /// Makes the attempt, and once more with fresh cluster data if it fails because cached data was
    /// stale. The session has the fresh data afterwards.
    ///
    /// # Errors
    /// As the attempt, and as [`Session::open`].
    pub async fn with_fresh_cluster<T>(
        &mut self,
        attempt: impl AsyncFn(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match attempt(self).await {
            Err(failure) => match self.reload(&failure).await? {
                true => attempt(self).await,
                false => Err(failure),
            },
            done => done,
        }
    }

    /// Reads the cluster again if the failure was caused by stale cached data. Returns whether it
    /// was.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn reload(&mut self, failure: &Failure) -> Result<bool, Failure> {
        let is_stale = failure.kind() == ErrorKind::Stale;
        if is_stale {
            *self = self.reopen().await?;
        }
        Ok(is_stale)
    }

    /// A new session with the cluster that the same choice means now.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn reopen(&self) -> Result<Self, Failure> {
        Self::open(&self.choice, self.debug).await
    }

    /// The circumstances of this session's calls.
    fn context(&self) -> CallContext<'_> {
        CallContext { cluster: &self.cluster, region: &self.region, cache: &self.cache }
    }

    async fn connect(cluster: Cluster, choice: &ClusterSelector, debug: bool) -> Result<Self, Failure> {
        let config =
            if cluster.is_local { local_config(&cluster).await? } else { aws_config(&cluster).await? };
        Self::configured(cluster, config, choice, debug)
    }

    /// A session with the server of a test. No call is repeated.
    #[cfg(test)]
    pub(crate) fn with_server(endpoint_url: &str) -> Result<Self, Failure> {
        let cluster = Cluster::at(endpoint_url);
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(endpoint_url)
            .http_client(proxy::client(&cluster)?)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::disabled());
        Self::configured(cluster, config.build(), &ClusterSelector::default(), false)
    }

    fn configured(
        cluster: Cluster,
        config: SdkConfig,
        choice: &ClusterSelector,
        debug: bool,
    ) -> Result<Self, Failure> {
        let trace = debug.then(trace);
        let config = match config.http_client() {
            Some(client) => config.to_builder().http_client(limited(client)).build(),
            None => config,
        };
        let queried = Ec2::new(&config, trace.clone()).zip(Sts::new(&config, trace.clone()));
        let regional = config.region().map(ToString::to_string).zip(queried);
        let Some((region, (ec2, sts))) = regional else {
            let message = format!("no AWS region is set for the cluster `{}`", cluster.name);
            return Err(Failure::new(ErrorKind::NoRegion, message).hint(format!(
                "give `--region NAME`, or set `region = \"…\"` in [cluster.{}] of the settings file",
                cluster.name
            )));
        };
        config::parse_region(&region).map_err(|e| {
            Failure::usage(format!("the region `{region}` of the cluster `{}`: {e}", cluster.name))
                .hint("the region comes from `--region`, the settings, AWS_REGION or the AWS configuration")
        })?;
        let mut s3 = aws_sdk_s3::config::Builder::from(&config).interceptor(OnlyAnswers::S3);
        let mut batch = aws_sdk_batch::config::Builder::from(&config).interceptor(OnlyAnswers::Json);
        let mut logs = aws_sdk_cloudwatchlogs::config::Builder::from(&config).interceptor(OnlyAnswers::Json);
        // The SDK does not find it under its name among the services of a profile.
        logs.set_endpoint_url(endpoint::set(&config, "CloudWatch Logs"));
        let mut ecs = aws_sdk_ecs::config::Builder::from(&config).interceptor(OnlyAnswers::Json);
        let mut cloudformation =
            aws_sdk_cloudformation::config::Builder::from(&config).interceptor(OnlyAnswers::Query);
        // Other servers than AWS expect the bucket in the path, not in the host name.
        let elsewhere = endpoint::set(&config, "S3");
        s3.set_force_path_style(Some(elsewhere.is_some()));
        if let Some(url) = elsewhere.filter(|url| has_path(url)) {
            // The SDK puts the bucket right behind the path.
            s3.set_endpoint_url(Some(format!("{}/", url.trim_end_matches('/'))));
        }
        if let Some(client) = config.http_client() {
            let limiters = [(); 4].map(|()| RateLimiter::new());
            let [of_batch, of_logs, of_ecs, of_cloudformation] =
                limiters.each_ref().map(|limiter| limiter.client(client.clone()));
            let [batch_limiter, logs_limiter, ecs_limiter, cloudformation_limiter] = limiters;
            cloudformation =
                cloudformation.http_client(of_cloudformation).interceptor(cloudformation_limiter);
            batch = batch.http_client(of_batch).interceptor(batch_limiter);
            logs = logs.http_client(of_logs).interceptor(logs_limiter);
            ecs = ecs.http_client(of_ecs).interceptor(ecs_limiter);
        }
        if let Some(trace) = trace {
            batch = batch.interceptor(trace.clone());
            logs = logs.interceptor(trace.clone());
            ecs = ecs.interceptor(trace.clone());
            s3 = s3.interceptor(trace.clone());
            cloudformation = cloudformation.interceptor(trace);
        }
        let cache = if cluster.is_local { Cache::none() } else { cache(&cluster, &region) };
        Ok(Self {
            cluster,
            region,
            cache,
            cloudformation: aws_sdk_cloudformation::Client::from_conf(cloudformation.build()),
            choice: choice.clone(),
            batch: aws_sdk_batch::Client::from_conf(batch.build()),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(logs.build()),
            ecs: aws_sdk_ecs::Client::from_conf(ecs.build()),
            ec2,
            sts,
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            config,
            debug,
        })
    }
}

/// The failure that an SDK error is for the user. `call` says what was being done, and to what,
/// such as `submitting the job x to the queue y`.
pub fn explain<'c, E>(
    session: &Session,
    call: impl Into<Call<'c>>,
    error: &SdkError<E, HttpResponse>,
) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    error_text::explain(&session.context(), &call.into(), error)
}

/// The failure that one item of an answer is for the user: an operation on many resources answers
/// with a code and a message for each that it could not do.
pub fn explain_item(session: &Session, doing: &str, code: &str, message: &str) -> Failure {
    error_text::explain_item(&session.context(), doing, code, message)
}

/// The failure that an answer is which the SDK can read, and that is not as the API says: `why`.
pub fn explain_unreadable(session: &Session, doing: &str, why: String) -> Failure {
    error_text::explain_unreadable(&session.context(), doing, why)
}

/// The failure for a resource that AWS does not have. If the cached description of the cluster
/// names the resource, the cache entry is evicted and the failure becomes [`ErrorKind::Stale`].
pub fn not_found(session: &Session, failure: Failure, resource: Resource<'_>) -> Failure {
    error_text::not_found(&session.context(), failure, resource)
}

/// The interceptor that shows exchanges. Settings that cannot be read add no secrets.
fn trace() -> Trace {
    Trace::new(config::secrets().unwrap_or_default())
}

/// The account of a cluster, as far as it is known without a call: the name of its profile and the
/// ID of its access key, each empty where there is none.
fn account_of(cluster: &Cluster) -> [String; 2] {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let profile = cluster.profile.clone().or_else(|| variable("AWS_PROFILE"));
    // A profile that is given by name has precedence over keys in the environment.
    let key = if cluster.profile.is_none() { variable("AWS_ACCESS_KEY_ID") } else { None };
    [profile, key].map(Option::unwrap_or_default)
}

/// The endpoint of a cluster, as far as it is known without the AWS configuration:
/// [`Session::endpoint`].
pub fn endpoint_of(cluster: &Cluster) -> Option<String> {
    if cluster.is_local {
        let home = awsb_local::Home::find().ok()?;
        let path = home.path().canonicalize().unwrap_or_else(|_| home.path().to_owned());
        return Some(path.display().to_string());
    }
    let exported_by = |wanted: &str| exported().find(|(name, _)| *name == wanted).map(|(_, url)| url);
    let url = cluster.endpoint_url.clone().or_else(|| exported_by("AWS_ENDPOINT_URL_BATCH"));
    url.map(|url| url.trim_end_matches('/').to_owned())
}

/// The cache of an account and region, as far as these can be distinguished without a call.
fn cache(cluster: &Cluster, region: &str) -> Cache {
    let variables = || exported().map(|(_, url)| url).collect::<Vec<_>>().join(" ");
    let endpoint = cluster.endpoint_url.clone().unwrap_or_else(variables);
    Cache::new(account_of(cluster).into_iter().chain([endpoint, region.to_owned()]).collect())
}

/// Whether a URL has a path: `https://host/storage/s3`.
fn has_path(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'))
}

/// The configuration of the local cluster. The user's AWS configuration is not read.
async fn local_config(cluster: &Cluster) -> Result<SdkConfig, Failure> {
    let Connected { connection: local, warnings } = awsb_local::connect(Program::default()).await?;
    for warning in warnings {
        print_message(format!("blocal: warning: {warning}"));
    }
    let credentials =
        Credentials::new(local.access_key_id, local.secret_access_key, None, None, "awsb local cluster");
    // The loader would read the user's AWS configuration, which must have no effect here.
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(local.region))
        .endpoint_url(local.endpoint_url)
        .http_client(proxy::client(cluster)?)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .timeout_config(timeouts())
        .retry_config(retries());
    Ok(config.build())
}

/// The configuration of any other cluster. An option has precedence over a setting, and a setting
/// over an `AWS_*` variable.
async fn aws_config(cluster: &Cluster) -> Result<SdkConfig, Failure> {
    refuse_local_exports(cluster)?;
    let mut config = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &cluster.region {
        config = config.region(Region::new(region.clone()));
    }
    if let Some(endpoint_url) = &cluster.endpoint_url {
        config = config.endpoint_url(endpoint_url);
    }
    let client = proxy::client(cluster)?;
    config = config.http_client(client.clone());
    if let Some(profile) = &cluster.profile {
        // In the SDK's own order, keys in the environment have precedence over a profile given by
        // name.
        let provided = ProviderConfig::default().with_http_client(client);
        let region = match &cluster.region {
            Some(region) => Some(Region::new(region.clone())),
            None => region_of_profile(profile, &provided).await,
        };
        let provider = ProfileFileCredentialsProvider::builder()
            .profile_name(profile)
            .configure(&provided.with_region(region));
        config = config.profile_name(profile).credentials_provider(provider.build());
    }
    if let Ok(name) = AppName::new("awsb") {
        config = config.app_name(name);
    }
    let config = config.timeout_config(timeouts()).retry_config(retries()).load().await;
    Ok(match config.credentials_provider() {
        Some(provider) => {
            let checked = SharedCredentialsProvider::new(CheckedCredentials::new(provider, cluster));
            config.to_builder().credentials_provider(checked).build()
        }
        None => config,
    })
}

/// The region of a profile, by the SDK's own order. The SDK's chain (`DefaultRegionChain`) takes no
/// HTTP client, which the instance's metadata need.
async fn region_of_profile(profile: &str, provided: &ProviderConfig) -> Option<Region> {
    let of_profile = ProfileFileRegionProvider::builder().configure(provided).profile_name(profile);
    let of_instance = ImdsRegionProvider::builder().configure(provided);
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(of_profile.build())
        .or_else(of_instance.build())
        .region()
        .await
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(5).with_initial_backoff(Duration::from_millis(300))
}

/// The exports of `blocal env` are for other tools. They must not send the jobs of a named cluster
/// to this machine.
fn refuse_local_exports(cluster: &Cluster) -> Result<(), Failure> {
    let local_key =
        std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|key| key.starts_with(awsb_local::ACCESS_KEY_PREFIX));
    let local_url = awsb_local::running().map(|local| local.endpoint_url);
    let is_local = |url: &str| local_url.as_deref().is_some_and(|l| l == url.trim_end_matches('/'));
    let redirected = cluster.endpoint_url.is_none() && exported().any(|(_, url)| local_key || is_local(&url));
    if !redirected && (!local_key || cluster.profile.is_some()) {
        return Ok(());
    }
    let name = &cluster.name;
    Err(Failure::usage(format!(
        "the exports of `blocal env` are set in this shell: they would send the jobs of the cluster \
         `{name}` to the local cluster"
    ))
    .hint(
        "to remove them: `unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION \
           AWS_DEFAULT_REGION`",
    )
    .hint("to use the local cluster, `--cluster local` is enough"))
}
