//! `bsub`: submits a job.

mod depends;
mod dry_run;
mod environment;
mod image;
mod inputs;
mod options;
mod remarks;
mod rerun;
mod said;
mod spec;
mod stdin;
mod waiting;
mod work;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use futures_util::future::{OptionFuture, join_all};
use serde_json::Value;

use super::waiting::end_with_waiter;
use super::{CommonArgs, select};
use crate::aws::Session;
use crate::batch::definition::{self, Registering};
use crate::batch::{self, DefinitionRequest, Once, Prepared, Progress, RetryPolicy, Submitted};
use crate::config;
use crate::config::Cluster;
use crate::diagnose::{NeverFits, never_fits};
use crate::stage::{self, Baggage, Plan, Target};
use crate::ui::{Exit, Failure, Interrupts, note};
use awsb_model::directives::Remark;
use awsb_model::payload::Bundle;
use awsb_model::request::SubmitRequest;
use awsb_model::{
    self, Awaited, ContainerChanges, Demand, Dependency, Efs, Invalid, JobRefs, JobSpec, Mark, OnceKey,
    Period, Shape, Shared, Stdin, words,
};
use image::JobImage;
use options::Options;
use work::What;

/// What was read of a queue longer ago than this, in milliseconds, may well have changed.
const LONG_AGO: i64 = 10 * 60 * 1000;

/// Submit a job to AWS Batch: a script, or a command in the image
#[derive(Debug, Parser)]
#[command(
    name = "bsub",
    version,
    override_usage = "bsub [OPTIONS] SCRIPT [ARGS]...\n       bsub [OPTIONS] COMMAND [ARGS]...\n       \
                      bsub [OPTIONS] --wrap 'COMMAND | COMMAND'\n       bsub [OPTIONS] < SCRIPT",
    after_help = "Options end at the first operand; everything after it belongs to the job.\nFor options \
                  that are not given, the script's directives (#AWSB, #SBATCH, #BSUB) count, then the \
                  defaults of the settings file, then the job definition."
)]
pub struct Args {
    #[command(flatten)]
    options: Options,

    /// The first operand is a script on this machine
    #[arg(long, conflicts_with_all = ["command", "wrap", "commands"], help_heading = "Program")]
    script: bool,
    /// The first operand is a command in the image
    #[arg(long, conflicts_with_all = ["wrap", "commands"], help_heading = "Program")]
    command: bool,
    /// Run this shell command line
    #[arg(long, value_name = "COMMAND LINE", conflicts_with = "operands", help_heading = "Program")]
    wrap: Option<OsString>,
    /// Start a command directly, without a shell, for images without /bin/sh
    #[arg(long, help_heading = "Program")]
    bare: bool,

    /// Submit a job again, with the same files and settings, changed by the given options
    #[arg(long, value_name = "ID", conflicts_with_all = ["script", "command", "wrap", "bare", "once", "strict", "operands"], help_heading = "Program")]
    rerun: Option<JobRefs>,
    /// With --rerun: submit only the tasks that have failed
    #[arg(long, requires = "rerun", help_heading = "Program")]
    failed: bool,

    /// Submit only once for this key: if its job is active or has succeeded, print that job's ID instead
    #[arg(long, value_name = "KEY", help_heading = "Submission")]
    once: Option<OnceKey>,
    /// How long to retry a submission that Batch turns away [default: 5m]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, help_heading = "Submission")]
    submit_timeout: Option<Period>,
    /// Print the requests without sending them
    #[arg(long, conflicts_with_all = ["parsable", "json", "quiet"], help_heading = "Submission")]
    dry_run: bool,
    /// Fail if Batch cannot honour a directive, or if the job can never run
    #[arg(long, help_heading = "Submission")]
    strict: bool,
    /// Print only the job's ID; for several jobs, the IDs separated by commas
    #[arg(long, conflicts_with_all = ["json", "interactive"], help_heading = "Submission")]
    parsable: bool,
    /// Print nothing but errors
    #[arg(long, conflicts_with_all = ["json", "parsable"], help_heading = "Submission")]
    quiet: bool,

    #[command(flatten)]
    common: CommonArgs,
    /// A script or a command, and its arguments
    #[arg(value_name = "SCRIPT|COMMAND", trailing_var_arg = true, hide = true)]
    operands: Vec<OsString>,
}

/// `bsub`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run_noting("bsub", words, |args: Args, remark| {
        if let Some(ids) = &args.rerun {
            return super::block_on_threads(args.submit_again(ids));
        }
        // clap lets it pass: operands, which `--rerun` does not go with, take its place.
        if args.failed {
            return Err(Failure::usage(
                "--failed needs --rerun ID: it submits the failed tasks of a job again",
            ));
        }
        let what = args.what()?;
        super::block_on_threads(args.submit(what, remark.filter(|_| !args.quiet)))
    })
}

/// A job that is ready to be sent.
struct Planned {
    /// What is sent.
    plan: Plan,
    /// The job definition that would have been registered, had that been allowed.
    to_register: Option<Value>,
    /// What its job definition asks for where its requests do not say it.
    by_definition: Demand,
}

impl Args {
    /// The story: plan, stage, submit, and perhaps wait. `remark` is what else the command line could mean.
    async fn submit(&self, mut what: What, remark: Option<String>) -> Result<Exit, Failure> {
        let defaults = config::defaults(&self.common.choice())?;
        let defaults = said::by_defaults(defaults.0.iter().map(|line| (&line.words, &line.place)))?;
        what.options = what.options.over(defaults);
        let mut options = what.options.clone();
        let whole_node = what.directives.whole_node.clone();
        let mut inputs = inputs::gather(&options.input, &what.work, self.quiet)?;
        let stdin = self.stdin(&options)?;
        let may_be_stdin = stdin.is_none() && !self.quiet && !options.has_array();
        let not_stdin = may_be_stdin.then(|| inputs::not_stdin(&self.options.input, &what.work)).flatten();
        let is_by_option = self.options.stdin.is_some();
        let lacks_stdin = !is_by_option && !self.quiet && self.may_want_stdin(&options, &what.work);
        let mut spec = self.spec(&options, what)?;
        if let Some(file) = &stdin {
            spec.stdin = if inputs.is_empty() { Stdin::Alone } else { Stdin::BesideInputs };
            inputs = inputs.with_stdin(file.path())?;
        }
        if let Some(obstacle) = stage::obstacle_to_bare(&spec, !inputs.is_empty()) {
            return Err(Failure::usage(format!(
                "--bare cannot be used with {obstacle}: it starts the command with nothing in front of it"
            )));
        }
        let waits_for = waits_for(&options, &spec.shape)?;
        let recipe = image::recipe(&options, self.quiet)?;
        let baggage = Baggage::pack(inputs, &spec.place).await?;
        let mut session = self.common.open().await?;
        spec.depends_on = depends::dependencies(&session, options.queue.as_deref(), &waits_for).await?;
        let queue = options.queue.as_deref();
        let JobImage { name, to_do } = image::find(&session, &options, queue, recipe).await?;
        options.image = name;
        // What is wrong with the job is said before its image is built.
        let looking = self.dry_run || to_do.is_some();
        let registering = if looking { Registering::ShownOnly } else { Registering::Allowed };
        let mut planned = self.plan(&mut session, &options, &spec, &baggage, registering).await?;
        if let (Some(asked), Some(request)) =
            (whole_node.filter(|_| !self.quiet), planned.plan.requests.first())
        {
            tell_memory(&session, &asked, &spec, &request.job_definition).await;
        }
        self.check_room(&session, &planned).await?;
        // On AWS the call goes beside the submission, unless the answer can stop that.
        let looks_first = session.is_near() || self.strict || self.dry_run;
        if looks_first {
            self.check_dependencies(&session, &spec).await?;
        }
        for remark in remark.into_iter().chain(not_stdin) {
            note(format!("bsub: note: {remark}"));
        }
        if self.dry_run {
            let step = to_do.zip(options.image).map(|(to_do, image)| to_do.shown(&image));
            let Planned { plan, to_register, .. } = planned;
            return self.show(&session, [step, to_register], &plan.bundles, &baggage, &plan.requests);
        }
        if let Some(to_do) = to_do {
            options.image = Some(to_do.done(&mut session, self.quiet).await?);
            planned = self.plan(&mut session, &options, &spec, &baggage, Registering::Allowed).await?;
        }
        let Planned { plan, .. } = planned;
        if std::io::stderr().is_terminal() && !self.quiet {
            let Cluster { name, .. } = &session.cluster;
            let queue = plan.requests.first().map_or("", |r| &r.job_queue);
            note(format!("bsub: cluster {name}, region {}, queue {queue}", session.region));
        }
        let repairs = stage::upload(&session, &plan.bundles, plan.is_fetched()).await?;
        stage::upload_baggage(&session, &baggage).await?;
        let has_nodes = plan.requests.iter().any(|request| request.node_overrides.is_some());
        let sweep = has_nodes.then(|| stage::sweep_nodes(&session));
        let check = (!looks_first).then(|| session.clone());
        let beside = async {
            let repairs = join_all(repairs.into_iter().map(stage::Repair::run));
            let check = check.as_ref().map(|session| self.check_dependencies(session, &spec));
            let (_, _, checked) = tokio::join!(OptionFuture::from(sweep), repairs, OptionFuture::from(check));
            checked.unwrap_or(Ok(()))
        };
        if lacks_stdin {
            stdin::tell_unread(options.stdin.is_some());
        }
        let is_numbered = spec.slurm.is_some() || spec.lsf.is_some();
        let (exit, ()) = tokio::try_join!(self.send(&options, session, &plan.requests, is_numbered), beside)?;
        Ok(exit)
    }

    /// Decides in which form the job travels, and which job definition would be registered if it may not be. What had been
    /// kept of the cluster and was stale is read anew.
    async fn plan(
        &self,
        session: &mut Session,
        options: &Options,
        spec: &JobSpec,
        baggage: &Baggage,
        registering: Registering,
    ) -> Result<Planned, Failure> {
        match self.plan_once(session, options, spec, baggage, registering).await {
            Err(failure) => match session.read_anew(&failure).await? {
                Some(anew) => {
                    *session = anew;
                    self.plan_once(session, options, spec, baggage, registering).await
                }
                None => Err(failure),
            },
            planned => planned,
        }
    }

    async fn plan_once(
        &self,
        session: &Session,
        options: &Options,
        spec: &JobSpec,
        baggage: &Baggage,
        registering: Registering,
    ) -> Result<Planned, Failure> {
        let cluster = &session.cluster;
        let job_queue = options.queue.as_deref().unwrap_or(&cluster.job_queue);
        let mut spec = spec.clone();
        let prepared = self.prepare(options, session, job_queue, &mut spec, registering).await?;
        let submitter = select::submitter();
        let target = Target {
            job_queue,
            job_definition: &prepared.job_definition,
            node_ranges: prepared.nodes.as_ref().map_or(&[], |nodes| &nodes.ranges),
            bucket: &cluster.bucket,
            prefix: &cluster.prefix,
            region: &session.region,
            shared: &cluster.shared,
            submitter: submitter.as_ref(),
        };
        let plan = Plan::new(&spec, baggage, &target, Mark::random).map_err(|e| {
            // What does not fit would otherwise go into a bundle.
            Failure::usage(if spec.bare { format!("--bare: {e}") } else { e.to_string() })
        })?;
        let to_register = prepared.to_register.map(dry_run::registration);
        Ok(Planned { plan, to_register, by_definition: prepared.by_definition })
    }

    /// Says it of a job that can never run; with `--strict` that is an error.
    async fn check_room(&self, session: &Session, planned: &Planned) -> Result<(), Failure> {
        let Some(request) = planned.plan.requests.first().filter(|_| self.strict || !self.quiet) else {
            return Ok(());
        };
        let Some(NeverFits { findings, age }) = never_fits(session, request, &planned.by_definition).await
        else {
            return Ok(());
        };
        let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        let message = format!("the job can never run: {}", messages.join("; "));
        let mut hints: Vec<String> = findings.into_iter().flat_map(|finding| finding.advice).collect();
        if age > LONG_AGO {
            let queue = &request.job_queue;
            hints.push(format!("this is from {} ago; `bqueues {queue}` reads it again", words::span(age)));
        }
        if self.strict {
            let failure = hints.into_iter().fold(Failure::usage(message), Failure::hint);
            return Err(failure.hint("without `--strict`, this is a warning"));
        }
        note(format!("bsub: warning: {message}"));
        hints.iter().for_each(|hint| note(format!("hint: {hint}")));
        Ok(())
    }

    /// Says it of a job that waits for one that has failed; with `--strict` that is an error.
    async fn check_dependencies(&self, session: &Session, spec: &JobSpec) -> Result<(), Failure> {
        if self.quiet && !self.strict {
            return Ok(());
        }
        let Some(failure) = depends::failed(session, &spec.depends_on).await else { return Ok(()) };
        if self.strict {
            return Err(failure.hint("without `--strict`, this is a warning"));
        }
        note(format!("bsub: warning: {failure}"));
        failure.hints.iter().for_each(|hint| note(format!("hint: {hint}")));
        Ok(())
    }

    /// `--rerun`.
    async fn submit_again(&self, ids: &JobRefs) -> Result<Exit, Failure> {
        let options = self.options.clone();
        rerun::refuse_what_stays(&options)?;
        self.check_waiter(&options)?;
        let recipe = image::recipe(&options, self.quiet)?;
        let mut session = self.common.open().await?;
        let ids = batch::meant(&session, &ids.0, None).await?;
        let variables = environment::gather(&options, self.quiet)?;
        let mut requests = rerun::requests(&session, &ids, self.failed, &options, &variables).await?;
        if requests.is_empty() {
            note("bsub: note: nothing is submitted, because no task of the job has failed");
            return Ok(Exit::Done);
        }
        let queue = requests.first().map(|request| request.job_queue.as_str());
        let JobImage { mut name, to_do } = image::find(&session, &options, queue, recipe).await?;
        if self.dry_run {
            let step = to_do.zip(name.as_ref()).map(|(to_do, image)| to_do.shown(image));
            let registered = rerun::in_image(&session, &mut requests, name, Registering::ShownOnly).await?;
            return self.show(&session, [step].into_iter().chain(registered), &[], &Baggage::None, &requests);
        }
        if let Some(to_do) = to_do {
            name = Some(to_do.done(&mut session, self.quiet).await?);
        }
        rerun::in_image(&session, &mut requests, name, Registering::Allowed).await?;
        self.send(&options, session, &requests, false).await
    }

    /// Submits, says so, and perhaps waits. `is_numbered`: the jobs find their numbers among their variables.
    async fn send(
        &self,
        options: &Options,
        session: Session,
        requests: &[SubmitRequest],
        is_numbered: bool,
    ) -> Result<Exit, Failure> {
        let progress = Progress::default();
        // Until the jobs have been told of. A signal that comes at the very end of the submission is for who waits next.
        let mut signals = Interrupts::listen();
        let submitted = tokio::select! {
            biased;
            signal = signals.next() => Err(progress.interrupted(signal)),
            submitted = self.submit_all(&session, requests, &progress) => submitted.map_err(|f| progress.after_others(f)),
        };
        // Some may be there although not all are.
        let ids = match &submitted {
            Ok(once) => once.jobs.iter().map(Submitted::id).collect(),
            Err(_) => progress.jobs(),
        };
        batch::remember(&session, &ids, requests.first().map_or("", |r| &r.job_name));
        if let (Err(Failure { exit: Exit::Interrupted(signal), .. }), false) = (&submitted, ids.is_empty())
            && options.ends_with_waiter()
        {
            end_with_waiter("bsub", &session, *signal, &ids).await;
        }
        let submitted = submitted?;
        self.announce_and_wait(options, session, &submitted, is_numbered).await
    }

    /// Finds the job definition that the job takes, which may make it one of several nodes.
    async fn prepare(
        &self,
        options: &Options,
        session: &Session,
        queue: &str,
        spec: &mut JobSpec,
        registering: Registering,
    ) -> Result<Prepared, Failure> {
        let wishes = DefinitionRequest {
            queue,
            definition: options.job_definition.as_deref(),
            changes: &with_shared(&session.cluster.shared, options.changes()),
            nodes: match spec.shape {
                Shape::Nodes(nodes) => Some(nodes),
                Shape::Single | Shape::Array(_) => None,
            },
            vcpus: options.vcpus,
            memory: options.memory,
            gpus: options.gpus,
            registering,
        };
        let prepared = batch::prepare(session, &wishes).await?;
        if let Some(nodes) = &prepared.nodes {
            if let Shape::Array(_) = spec.shape {
                let name = &prepared.job_definition;
                return Err(Failure::usage(format!(
                    "the job definition {name} is for multi-node parallel jobs, and those cannot be arrays"
                )));
            }
            spec.shape = Shape::Nodes(nodes.count);
            // Once, however often it is planned.
            if !self.quiet && (self.dry_run || registering == Registering::Allowed) {
                note(format!("bsub: {nodes}"));
            }
        }
        Ok(prepared)
    }

    /// Submits the jobs, or finds that they are there.
    async fn submit_all(
        &self,
        session: &Session,
        requests: &[SubmitRequest],
        progress: &Progress,
    ) -> Result<Once, Failure> {
        let patience = RetryPolicy::new(self.submit_timeout.map(Period::get));
        if let Some(key) = &self.once {
            return batch::once(session, key, requests, &patience, progress).await;
        }
        let mut jobs = Vec::new();
        for request in requests {
            let mark = request.mark().unwrap_or_else(Mark::random);
            jobs.push(batch::submit(session, request, &mark, &patience, progress).await?);
        }
        Ok(Once { jobs, earlier: false })
    }

    /// `--dry-run`.
    fn show(
        &self,
        session: &Session,
        first: impl IntoIterator<Item = Option<Value>>,
        bundles: &[Bundle],
        baggage: &Baggage,
        requests: &[SubmitRequest],
    ) -> Result<Exit, Failure> {
        let secrets = config::secrets()?;
        let first = first.into_iter().flatten();
        let requests = dry_run::requests(&session.cluster, &secrets, first, bundles, baggage, requests);
        let text = serde_json::to_string_pretty(&requests).unwrap_or_default();
        let output = self.common.output();
        output.write(format!("{}\n", output.as_shown(&text)).as_bytes())?;
        Ok(Exit::Done)
    }
}

/// Says how much memory the job has, whose script asks for all of a node's. That is worth a call of its own, and no error.
async fn tell_memory(session: &Session, asked: &Remark, spec: &JobSpec, job_definition: &str) {
    let (mib, said_by) = match spec.resources.memory {
        Some(memory) => (Some(memory.mib()), ""),
        None => {
            let facts = definition::describe(session, job_definition).await.ok();
            (
                facts.and_then(|facts| facts.container()?.memory_mib),
                ", as its job definition says; `--memory` requests more",
            )
        }
    };
    if let Some(mib) = mib {
        note(format!("bsub: note: `{}`: the job has {mib} MiB of memory{said_by}", asked.directive));
    }
}

/// What the job waits for, as the user names it.
fn waits_for(options: &Options, shape: &Shape) -> Result<Vec<Dependency<Awaited>>, Failure> {
    let mut list: Vec<_> = options.depends_on.iter().flat_map(|arg| arg.0.clone()).collect();
    let one_at_a_time = options.array.as_ref().is_some_and(|array| array.one_at_a_time);
    if one_at_a_time && !list.contains(&Dependency::Sequential) {
        list.push(Dependency::Sequential);
    }
    awsb_model::in_shape(list, shape).map_err(about("--depends-on"))
}

/// What is wrong with an option, as all of them have it.
fn about(option: &'static str) -> impl Fn(Invalid) -> Failure {
    move |e| Failure::usage(format!("{option}: {e}"))
}

/// The changes with the EFS file systems that the cluster's jobs share; what is given wins over them.
fn with_shared(shared: &[Shared], changes: ContainerChanges) -> ContainerChanges {
    let of_cluster = shared.iter().filter_map(Shared::efs).cloned();
    let given = |efs: &Efs| changes.mounts.iter().any(|mount| mount.container == efs.container);
    let efs = of_cluster.filter(|efs| !given(efs)).chain(changes.efs.iter().cloned()).collect();
    ContainerChanges { efs, ..changes }
}
