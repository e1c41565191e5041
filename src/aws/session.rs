//! The AWS clients of one cluster.

use std::error::Error;
use std::time::Duration;

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::profile::ProfileFileCredentialsProvider;
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

use super::cache::Cache;
use super::ec2::Ec2;
use super::endpoints::exported;
use super::error_text::{self, Call, CallContext, Resource};
use super::parallelcluster_stack;
use super::proxy::{self, Proxy};
use super::rate_limit::RateLimiter;
use super::trace::Trace;
use crate::config::{self, Cluster, ClusterSelector};
use crate::ui::{ErrorKind, Failure, note};

/// An unreachable endpoint is said within 15 seconds: one connection may take this long,
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// and one call, with all its tries, this long.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(13);

/// The clients that talk to one cluster.
#[derive(Debug, Clone)]
pub struct Session {
    /// The cluster.
    pub cluster: Cluster,
    /// The region that came out of the options, the settings and the AWS configuration.
    pub region: String,
    /// AWS Batch.
    pub batch: aws_sdk_batch::Client,
    /// CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// ECS: on which machines the jobs run.
    pub ecs: aws_sdk_ecs::Client,
    /// EC2: what these machines are.
    pub ec2: Ec2,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// What was kept of this account and region; nothing is kept of the local cluster.
    pub cache: Cache,
    cloudformation: aws_sdk_cloudformation::Client,
    config: SdkConfig,
    choice: ClusterSelector,
    debug: bool,
}

impl Session {
    /// Finds the cluster and makes its clients; with `debug`, every exchange is shown on stderr. Nothing
    /// is sent but a question for the cluster's stack, if it has one that was not read lately; the local cluster
    /// is started if it does not run.
    ///
    /// # Errors
    /// When the cluster cannot be found or its stack cannot be read, or no region is known for it.
    pub async fn open(choice: &ClusterSelector, debug: bool) -> Result<Self, Failure> {
        let cluster = config::resolve(choice)?;
        for option in
            [choice.profile.as_ref().map(|_| "--profile"), choice.region.as_ref().map(|_| "--region")]
        {
            if let Some(option) = option.filter(|_| cluster.is_local) {
                note(format!("note: {option} has no effect on the local cluster"));
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

    /// The same cluster again, after a call has failed: a local one that has ended is started, perhaps at another port;
    /// credentials that have run out are read anew, as somebody may have renewed them.
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

    /// The cluster as messages name it: `cluster genomics, region eu-west-1`.
    pub fn place(&self) -> String {
        let name = &self.cluster.name;
        match self.cluster.is_local {
            true => format!("cluster {name}"),
            false => format!("cluster {name}, region {}", self.region),
        }
    }

    /// What tells its services from others under the same name: the folder of a local cluster, whose port may change, or
    /// the URL of Batch where it is not AWS's own.
    pub fn endpoint(&self) -> Option<String> {
        if self.cluster.is_local {
            let home = awsb_local::Home::find().ok()?;
            let path = home.path().canonicalize().unwrap_or_else(|_| home.path().to_owned());
            return Some(path.display().to_string());
        }
        let exported_by = |wanted: &str| exported().find(|(name, _)| *name == wanted).map(|(_, url)| url);
        let url = self.cluster.endpoint_url.clone().or_else(|| exported_by("AWS_ENDPOINT_URL_BATCH"));
        let url = url.or_else(|| self.config.endpoint_url().map(str::to_owned));
        url.map(|url| url.trim_end_matches('/').to_owned())
    }

    /// How one looks at what is in another region.
    pub fn hint_to_region(&self, region: &str) -> String {
        match self.cluster.is_local {
            true => "choose the cluster that it is in with `--cluster NAME`".to_owned(),
            false => format!("to look there with the same account, add `--region {region}`"),
        }
    }

    /// A line of the cluster's section, as hints name it; `None` where its settings cannot be set.
    pub fn setting(&self, key: &str, value: &str) -> Option<String> {
        let name = &self.cluster.name;
        (!self.cluster.is_local).then(|| format!("`{key} = {value}` in [cluster.{name}]"))
    }

    /// How one gets to a cluster with this setting, and what that does then, such as `names one`.
    pub fn hint_to_setting(&self, key: &str, value: &str, does: &str) -> String {
        match self.setting(key, value) {
            Some(line) => format!("{line} of the settings file {does}").trim_end().to_owned(),
            None => format!("`--cluster NAME` chooses a cluster on AWS whose settings have {key}"),
        }
    }

    /// The command that sets how large a compute environment is or, without its name, how large the machines are that
    /// jobs run on; `None` where Batch's own API does. Settings of a cluster that runs are not taken, so it is
    /// stopped; its jobs go on.
    pub fn command_to_grow(&self, environment: Option<&str>) -> Option<&'static str> {
        let is_ours = environment.is_none_or(|name| name == awsb_local::COMPUTE_ENVIRONMENT);
        (self.cluster.is_local && is_ours).then_some("blocal stop && blocal start")
    }

    /// Where it is kept what the queues' environments may have: of a local cluster for as long as one server runs, as the
    /// next may have another size.
    pub fn cache_of_room(&self) -> Cache {
        if !self.cluster.is_local {
            return self.cache.clone();
        }
        let served = awsb_local::Home::find().ok().and_then(|home| Some((home.server_pid()?, home)));
        let (Some((pid, home)), Some(url)) = (served, self.config.endpoint_url()) else {
            return Cache::none();
        };
        Cache::new(vec![home.path().display().to_string(), pid.to_string(), url.to_owned()])
    }

    /// Whether it costs next to nothing to ask for what is not in [`Session::cache_of_room`].
    pub fn is_near(&self) -> bool {
        self.cluster.is_local
    }

    /// A client of ECR. Made when it is needed, as few tools do.
    pub fn ecr(&self) -> aws_sdk_ecr::Client {
        let mut ecr = aws_sdk_ecr::config::Builder::from(&self.config);
        if self.debug {
            ecr = ecr.interceptor(trace());
        }
        aws_sdk_ecr::Client::from_conf(ecr.build())
    }

    /// A client of CodeBuild, likewise.
    pub fn codebuild(&self) -> aws_sdk_codebuild::Client {
        let mut codebuild = aws_sdk_codebuild::config::Builder::from(&self.config);
        if self.debug {
            codebuild = codebuild.interceptor(trace());
        }
        aws_sdk_codebuild::Client::from_conf(codebuild.build())
    }

    /// Whether the ECR that is asked is AWS's own, whose tokens are nobody else's business: neither the settings nor the
    /// environment name another one.
    pub fn ecr_is_aws(&self) -> bool {
        let is_of_ecr = |(name, _)| matches!(name, "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_ECR");
        self.config.endpoint_url().is_none() && !exported().any(is_of_ecr)
    }

    /// Whether `--debug` was given.
    pub fn is_debugging(&self) -> bool {
        self.debug
    }

    /// Makes the attempt, and once more with fresh cluster data if it fails because cached data was stale. The session
    /// has the fresh data afterwards.
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

    /// Reads the cluster again if the failure was caused by stale cached data. Returns whether it was.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn reload(&mut self, failure: &Failure) -> Result<bool, Failure> {
        let is_stale = failure.kind() == ErrorKind::Stale;
        if is_stale {
            *self = Self::open(&self.choice, self.debug).await?;
        }
        Ok(is_stale)
    }

    /// The circumstances of its calls.
    fn context(&self) -> CallContext<'_> {
        CallContext { cluster: &self.cluster, region: &self.region, cache: &self.cache }
    }

    async fn connect(cluster: Cluster, choice: &ClusterSelector, debug: bool) -> Result<Self, Failure> {
        let config =
            if cluster.is_local { local_config(&cluster).await? } else { aws_config(&cluster).await? };
        Self::configured(cluster, config, choice, debug)
    }

    /// A session with a server of a test. No call is repeated.
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
        let regional = config.region().map(ToString::to_string).zip(Ec2::new(&config, trace.clone()));
        let Some((region, ec2)) = regional else {
            return Err(Failure::usage(format!("no AWS region is set for the cluster `{}`", cluster.name))
                .hint(format!(
                    "give `--region NAME`, or set `region = \"…\"` in [cluster.{}] of the settings file",
                    cluster.name
                )));
        };
        let mut batch = aws_sdk_batch::config::Builder::from(&config);
        let mut logs = aws_sdk_cloudwatchlogs::config::Builder::from(&config);
        let mut ecs = aws_sdk_ecs::config::Builder::from(&config);
        let mut cloudformation = aws_sdk_cloudformation::config::Builder::from(&config);
        // A bucket's name in the path, not in the host name, is what every other server understands.
        let elsewhere = config.endpoint_url().is_some() || exported().next().is_some();
        let mut s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(elsewhere);
        if let Some(client) = config.http_client() {
            let paces = [RateLimiter::new(), RateLimiter::new(), RateLimiter::new()];
            let [of_batch, of_logs, of_ecs] = paces.each_ref().map(|pace| pace.client(client.clone()));
            let [pace, logs_pace, ecs_pace] = paces;
            batch = batch.http_client(of_batch).interceptor(pace);
            logs = logs.http_client(of_logs).interceptor(logs_pace);
            ecs = ecs.http_client(of_ecs).interceptor(ecs_pace);
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
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            config,
            debug,
        })
    }
}

/// The failure that an SDK error is for the user. `call` says what was being done, and to what:
/// `submitting the job x to the queue y`.
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

/// The failure for a resource that AWS does not have. If the cached description of the cluster names the resource,
/// the cache entry is evicted and the failure becomes [`ErrorKind::Stale`].
pub fn not_found(session: &Session, failure: Failure, resource: Resource<'_>) -> Failure {
    error_text::not_found(&session.context(), failure, resource)
}

/// What shows exchanges. Settings that cannot be read name no more secrets.
fn trace() -> Trace {
    Trace::new(config::secrets().unwrap_or_default())
}

/// What tells one account and region from another without asking.
fn cache(cluster: &Cluster, region: &str) -> Cache {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let profile = cluster.profile.clone().or_else(|| variable("AWS_PROFILE"));
    // A profile that was asked for by name beats the keys in the environment.
    let key = if cluster.profile.is_none() { variable("AWS_ACCESS_KEY_ID") } else { None };
    let endpoint = cluster.endpoint_url.clone().or_else(|| variable("AWS_ENDPOINT_URL"));
    let scope = [profile, key, endpoint].map(Option::unwrap_or_default);
    Cache::new(scope.into_iter().chain([region.to_owned()]).collect())
}

/// The configuration of the local cluster: nothing of the user's AWS configuration is read.
async fn local_config(cluster: &Cluster) -> Result<SdkConfig, Failure> {
    let Connected { connection: local, warnings } = awsb_local::connect(Program::default()).await?;
    for warning in warnings {
        note(format!("blocal: warning: {warning}"));
    }
    let credentials =
        Credentials::new(local.access_key_id, local.secret_access_key, None, None, "awsb local cluster");
    // Not through the loader: nothing of the user's AWS configuration may count here.
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

/// The configuration of any other cluster. Option beats setting beats `AWS_*` variable.
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
        // The SDK's own order lets keys in the environment win over a profile that was asked for by name.
        let region = match &cluster.region {
            Some(region) => Some(Region::new(region.clone())),
            None => DefaultRegionChain::builder().profile_name(profile).build().region().await,
        };
        let provider = ProfileFileCredentialsProvider::builder()
            .profile_name(profile)
            .configure(&ProviderConfig::default().with_http_client(client).with_region(region));
        config = config.profile_name(profile).credentials_provider(provider.build());
    }
    if let Ok(name) = AppName::new("awsb") {
        config = config.app_name(name);
    }
    Ok(config.timeout_config(timeouts()).retry_config(retries()).load().await)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(5).with_initial_backoff(Duration::from_millis(300))
}

/// The exports of `blocal env` are for other tools; they must not make a named cluster mean the laptop.
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
