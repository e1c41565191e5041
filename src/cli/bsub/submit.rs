//! The submission of a job, in steps that each have a type of their own.
//!
//! A [`Draft`] is all that this machine knows of the job. A [`Submission`] resolves it in the
//! cluster ([`ResolvedJob`]), plans its requests ([`Plan`]), prepares what the job needs and sends
//! the requests. A dry run takes the same way and ends before the first step that changes
//! something.

use std::io::IsTerminal;
use std::pin::pin;

use futures_util::future::{Either, OptionFuture, join_all, select};

use super::args::Args;
use super::image::JobImages;
use super::inputs;
use super::payload::Invocation;
use super::resolved_options::ResolvedOptions;
use super::spec::limit_note;
use super::{consumables, depends, dry_run, environment, image, option_sources, rerun, stdin};
use crate::aws::Session;
use crate::batch::definition::{
    self, DefinitionRequest, DefinitionSummary, InspectedDefinition, JobDefinitionRef,
};
use crate::batch::{self, RetryPolicy, SubmissionProgress, Submitted, SubmittedJobs};
use crate::cli::submitter;
use crate::cli::wait::end_with_waiter;
use crate::config::{self, Cluster};
use crate::diagnose::{NeverFits, never_fits};
use crate::image::BuildInput;
use crate::stage::{self, PackedInputs, Plan, Target};
use crate::ui::{ErrorKind, Exit, Failure, SignalListener, print_message};
use awsb_model::directives::Remark;
use awsb_model::request::SubmitRequest;
use awsb_model::{
    ContainerChanges, Dependency, Efs, JobId, JobRefs, JobSpec, Period, Program, ResolvedJob, ResolvedShape,
    Shape, SharedDir, Stdin, SubmissionId, words,
};

/// Cached capacity of a queue that is older than this, in milliseconds, has probably changed.
const OLD_CAPACITY: i64 = 10 * 60 * 1000;

/// A job with everything that this machine knows of it. Nothing has been sent yet.
struct Draft {
    spec: JobSpec,
    inputs: PackedInputs,
    /// The image that `--build` builds.
    build_input: Option<BuildInput>,
    /// The directive that asks for all memory of a node.
    whole_node: Option<Remark>,
    /// A note that an input is not the job's standard input, although it looks like it.
    not_stdin: Option<String>,
    /// Whether this command has a standard input that the job does not get.
    lacks_stdin: bool,
}

impl Args {
    /// Resolves, plans and submits the job, and waits for its end if that is asked for. `remark` is
    /// a second meaning that the command line could have.
    pub(super) async fn submit(
        &self,
        invocation: Invocation,
        remark: Option<String>,
    ) -> Result<Exit, Failure> {
        let defaults = config::defaults(&self.common.choice())?;
        let defaults = option_sources::by_defaults(defaults.0.iter().map(|line| (&line.words, &line.place)))?;
        let options = ResolvedOptions::resolve(&self.options, invocation.options.clone(), defaults)?;
        let queue_directive = match (&self.options.queue, &invocation.program) {
            (None, Program::Script { script, .. }) => {
                option_sources::queue_directive(&invocation.directives, script.file_name())
            }
            _ => None,
        };
        let Draft { spec, inputs, build_input, whole_node, not_stdin, lacks_stdin } =
            self.draft(&options, invocation).await?;
        let session = self.common.open().await?;
        let mut submission = Submission { args: self, options: &options, inputs: &inputs, session };
        let queue = options.queue.as_deref();
        let depends_on = depends::dependencies(&submission.session, queue, &spec.depends_on).await?;
        let images = image::find(&submission.session, &options, queue, build_input).await?;
        let inspected = submission.inspect(&spec, &images).await?;
        let job = submission.resolve(spec, depends_on, &inspected)?;
        let plan = submission.plan(&job)?;
        // Otherwise this has been checked already.
        if !matches!(job.spec.shape, Shape::Nodes(_)) {
            consumables::warn_of_uneven(&job.spec, job.shape.nodes(), self.strict)?;
        }
        if let ResolvedShape::Nodes(nodes) = &job.shape
            && !self.quiet
        {
            print_message(format!("bsub: {nodes}"));
        }
        if let Some(directive) = whole_node.filter(|_| !self.quiet) {
            note_memory(&submission.session, &directive, &job, inspected.summary.as_ref()).await;
        }
        self.check_capacity(&submission.session, &plan, inspected.summary.as_ref()).await?;
        // On AWS the dependencies are checked during the submission, unless their check can stop
        // it.
        let checks_first = submission.session.is_near() || self.strict || self.dry_run;
        if checks_first {
            self.check_dependencies(&submission.session, &job.depends_on).await?;
        }
        let of_definition = inspected.summary.as_ref().map(|summary| summary.consumes.as_slice());
        let of_definition = of_definition.unwrap_or_default();
        consumables::check(&submission.session, &plan, of_definition, self.strict, self.quiet).await?;
        let limit_note = limit_note(&options, &job.spec).filter(|_| !self.quiet);
        let container_note = inspected.container_note().filter(|_| !self.quiet);
        let form_note = inspected.unknown_form_note().filter(|_| self.dry_run);
        let once_note = self.once.as_ref().filter(|_| self.dry_run).map(|key| {
            format!("the key of `--once` is not looked up here: where a job has the key {key}, bsub submits nothing")
        });
        let unchecked_note = inspected.unchecked_note().filter(|_| self.strict);
        let notes = limit_note
            .into_iter()
            .chain(container_note)
            .chain(form_note)
            .chain(once_note)
            .chain(unchecked_note);
        for remark in remark.into_iter().chain(not_stdin).chain(notes) {
            print_message(format!("bsub: note: {remark}"));
        }
        if self.dry_run {
            return submission.show(&images, &inspected.definition, &plan).await;
        }
        let is_ready = images.are_there() && inspected.definition.registration().is_none();
        let (job, images, plan) = if is_ready {
            (job, images, plan)
        } else {
            let (job, images) = submission.prepare(job, inspected, images).await?;
            let plan = submission.plan(&job)?;
            (job, images, plan)
        };
        let session = submission.session.clone();
        let mut sent = submission.send(&job, &plan, !checks_first, lacks_stdin).await;
        // The job definition had not been read, to spare a call, and is of another form.
        if sent.as_ref().is_err_and(|failure| failure.kind() == ErrorKind::UnreadDefinition) {
            let inputs = &inputs;
            let mut submission =
                Submission { args: self, options: &options, inputs, session: session.clone() };
            let inspected = submission.inspect(&job.spec, &images).await?;
            let job = submission.resolve(job.spec, job.depends_on, &inspected)?;
            let plan = submission.plan(&job)?;
            sent = submission.send(&job, &plan, false, false).await;
        }
        match sent {
            Err(failure) => Err(explain_queue(&session, failure, &plan, queue_directive).await),
            sent => sent,
        }
    }

    /// Reads the files of the job and checks its options. Nothing is sent.
    async fn draft(&self, options: &ResolvedOptions, invocation: Invocation) -> Result<Draft, Failure> {
        let whole_node = invocation.directives.whole_node.clone();
        let inputs = inputs::gather(&options.input, &invocation.program, self.quiet)?;
        let stdin_file = self.stdin(options)?;
        let may_be_stdin = stdin_file.is_none() && !self.quiet && !options.has_array();
        let not_stdin =
            may_be_stdin.then(|| inputs::not_stdin(&self.options.input, &invocation.program)).flatten();
        let is_by_option = self.options.stdin.is_some();
        let lacks_stdin =
            !is_by_option && !self.quiet && !self.pty && self.may_want_stdin(options, &invocation.program);
        let stdin = match (&stdin_file, inputs.is_empty()) {
            (None, _) => Stdin::Nothing,
            (Some(_), true) => Stdin::Alone,
            (Some(_), false) => Stdin::BesideInputs,
        };
        let spec = self.spec(options, invocation, stdin)?;
        if let Shape::Nodes(nodes) = spec.shape {
            consumables::warn_of_uneven(&spec, nodes, self.strict)?;
        }
        let inputs = match &stdin_file {
            Some(file) => inputs.with_stdin(file.path())?,
            None => inputs,
        };
        if let Some(obstacle) = stage::obstacle_to_bare(&spec, !inputs.is_empty()) {
            return Err(Failure::usage(format!(
                "--bare cannot be used with {obstacle}: it starts the command with nothing in front of it"
            )));
        }
        let build_input = image::build_input(options, self.quiet)?;
        let inputs = PackedInputs::pack(inputs, &spec.place).await?;
        Ok(Draft { spec, inputs, build_input, whole_node, not_stdin, lacks_stdin })
    }

    /// Warns of a job that can never run; with `--strict` that is an error.
    async fn check_capacity(
        &self,
        session: &Session,
        plan: &Plan,
        definition: Option<&DefinitionSummary>,
    ) -> Result<(), Failure> {
        let Some(request) = plan.requests.first().filter(|_| self.strict || !self.quiet) else {
            return Ok(());
        };
        let Some(NeverFits { findings, age }) = never_fits(session, request, definition).await else {
            return Ok(());
        };
        let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        let message = format!("the job can never run: {}", messages.join("; "));
        let mut hints: Vec<String> = findings
            .into_iter()
            .flat_map(|finding| finding.advice)
            .map(|line| session.advice(&line))
            .collect();
        if age > OLD_CAPACITY {
            let queue = &request.job_queue;
            hints.push(format!("this is from {} ago; `bqueues {queue}` reads it again", words::span(age)));
        }
        if self.strict {
            let failure = hints.into_iter().fold(Failure::usage(message), Failure::hint);
            return Err(failure.hint("without `--strict`, this is a warning"));
        }
        print_message(format!("bsub: warning: {message}"));
        hints.iter().for_each(|hint| print_message(format!("hint: {hint}")));
        Ok(())
    }

    /// Warns of a dependency that has failed; with `--strict` that is an error.
    async fn check_dependencies(
        &self,
        session: &Session,
        depends_on: &[Dependency<JobId>],
    ) -> Result<(), Failure> {
        if self.quiet && !self.strict {
            return Ok(());
        }
        let Some(failure) = depends::failed(session, depends_on).await else { return Ok(()) };
        if self.strict {
            return Err(failure.hint("without `--strict`, this is a warning"));
        }
        print_message(format!("bsub: warning: {failure}"));
        failure.hints().iter().for_each(|hint| print_message(format!("hint: {hint}")));
        Ok(())
    }

    /// `--rerun`: submits jobs again, as Batch has them, changed by the options.
    pub(super) async fn submit_again(&self, ids: &JobRefs) -> Result<Exit, Failure> {
        let options = ResolvedOptions::for_rerun(&self.options)?;
        let build_input = image::build_input(&options, self.quiet)?;
        let mut session = self.common.open().await?;
        let ids = batch::resolve_ids(&session, &ids.0, None).await?;
        let variables = environment::gather(&options, self.quiet)?;
        let requests = rerun::requests(&session, &ids, self.failed, &options, &variables).await?;
        if requests.is_empty() {
            print_message("bsub: note: nothing is submitted, because no task of the job has failed");
            if self.dry_run {
                return self.show(Vec::new());
            }
            // With `-I`, the output is that of the jobs, a line each.
            if !options.interactive {
                self.common.output().show_none()?;
            }
            return Ok(Exit::Done);
        }
        let queue = requests.first().map(|request| request.job_queue.as_str());
        let images = image::find(&session, &options, queue, build_input).await?;
        if self.dry_run {
            let mut first = images.shown();
            let derived = rerun::inspect_definitions(&session, &requests, images.image).await?;
            for registration in derived.iter().filter_map(|(_, found)| found.registration()) {
                first.push(dry_run::registration(&session, registration).await?);
            }
            let named = derived.iter().map(|(base, found)| (base.clone(), found.name().to_owned()));
            let requests = rerun::with_definitions(requests, &Vec::from_iter(named));
            return self.show(dry_run::requests(
                &session.cluster,
                first,
                &[],
                &PackedInputs::None,
                &requests,
            )?);
        }
        let JobImages { image, .. } = images.make(&mut session, self.quiet).await?;
        let mut registered = Vec::new();
        for (base, found) in rerun::inspect_definitions(&session, &requests, image).await? {
            registered.push((base, register(&session, found).await?));
        }
        let requests = rerun::with_definitions(requests, &registered);
        self.submit_and_wait(&options, session, &requests, false).await
    }

    /// Submits the requests, prints the job IDs, and waits for the jobs if that is asked for.
    /// `is_numbered`: the jobs find their numbers among their variables.
    async fn submit_and_wait(
        &self,
        options: &ResolvedOptions,
        session: Session,
        requests: &[SubmitRequest],
        is_numbered: bool,
    ) -> Result<Exit, Failure> {
        let progress = SubmissionProgress::default();
        // A signal at the very end of the submission is left to the wait.
        let mut signals = SignalListener::listen();
        let submitted = tokio::select! {
            biased;
            signal = signals.next() => Err(progress.interrupted(signal)),
            submitted = self.submit_all(&session, requests, &progress) => {
                submitted.map_err(|f| progress.after_others(f).map_hints(|hint| session.advice(hint)))
            }
        };
        if submitted.is_err() && !progress.is_unknown() && progress.jobs().is_empty() {
            batch::remove_unused_limit(&session, requests).await;
        }
        // After a failure, some of the jobs may exist.
        let ids = match &submitted {
            Ok(once) => once.jobs.iter().map(Submitted::id).collect(),
            Err(_) => progress.jobs(),
        };
        let mut record =
            batch::record_submission(&session, &ids, requests.first().map_or("", |r| &r.job_name));
        if let Some(record) = record.take_if(|_| submitted.is_err()) {
            record.complete("bsub");
        }
        if let Err(ErrorKind::Interrupted(signal)) = submitted.as_ref().map_err(Failure::kind)
            && !ids.is_empty()
            && options.ends_with_waiter()
        {
            end_with_waiter("bsub", &session, signal, &ids).await;
        }
        let submitted = submitted?;
        // The jobs are announced before limits of others are looked for, which may take long.
        let waited = pin!(self.announce_and_wait(options, session.clone(), &submitted, record, is_numbered));
        let swept = pin!(batch::remove_earlier_limits(&session, requests));
        match select(waited, swept).await {
            Either::Left((Ok(exit @ (Exit::Done | Exit::Job(_))), swept)) => {
                // The jobs are submitted, so a signal is no failure.
                select(swept, pin!(signals.next())).await;
                Ok(exit)
            }
            Either::Left((waited, _)) => waited,
            Either::Right(((), waited)) => waited.await,
        }
    }

    /// Submits the jobs, or finds that they exist already.
    async fn submit_all(
        &self,
        session: &Session,
        requests: &[SubmitRequest],
        progress: &SubmissionProgress,
    ) -> Result<SubmittedJobs, Failure> {
        let policy = RetryPolicy::new(self.submit_timeout.map(Period::get));
        if let Some(key) = &self.once {
            return batch::once(session, key, requests, &policy, progress).await;
        }
        let mut jobs = Vec::new();
        for request in requests {
            let mark = request.mark().unwrap_or_else(SubmissionId::random);
            jobs.push(batch::submit(session, request, &mark, &policy, progress).await?);
        }
        Ok(SubmittedJobs { jobs, earlier: false })
    }

    /// Prints the requests of `--dry-run`.
    fn show(&self, requests: Vec<serde_json::Value>) -> Result<Exit, Failure> {
        let text = serde_json::to_string_pretty(&requests).unwrap_or_default();
        let output = self.common.output();
        output.write(format!("{}\n", output.as_shown(&text)).as_bytes())?;
        Ok(Exit::Done)
    }
}

/// A job on its way to its cluster.
struct Submission<'a> {
    args: &'a Args,
    options: &'a ResolvedOptions,
    inputs: &'a PackedInputs,
    session: Session,
}

impl Submission<'_> {
    /// Finds the job definition of a job in these images. Nothing is registered.
    async fn inspect(&mut self, spec: &JobSpec, images: &JobImages) -> Result<InspectedDefinition, Failure> {
        let changes = self.options.changes(images.image.clone());
        let options = self.options;
        let inspect = async |session: &Session| {
            let request = DefinitionRequest {
                queue: options.queue.as_deref().unwrap_or(&session.cluster.job_queue),
                definition: options.job_definition.as_deref(),
                changes: &with_shared(&session.cluster.shared, changes.clone()),
                nodes: match spec.shape {
                    Shape::Nodes(nodes) => Some(nodes),
                    Shape::Single | Shape::Array(_) => None,
                },
                groups: &images.groups,
                container: options.container.as_deref(),
                vcpus: options.vcpus,
                memory: options.memory,
                gpus: options.gpus,
                consumes: consumables::takes_any(spec),
                reads_anyway: self.args.dry_run || self.args.strict,
            };
            definition::inspect_definition(session, &request).await
        };
        self.session.with_fresh_cluster(inspect).await
    }

    /// The job with everything that was looked up for it.
    fn resolve(
        &self,
        spec: JobSpec,
        depends_on: Vec<Dependency<JobId>>,
        inspected: &InspectedDefinition,
    ) -> Result<ResolvedJob, Failure> {
        let job_definition = inspected.definition.name().to_owned();
        let shape = ResolvedShape::new(&spec.shape, inspected.nodes.clone()).ok_or_else(|| {
            Failure::usage(format!(
                "the job definition {job_definition} is for multi-node parallel jobs, and those cannot be arrays"
            ))
        })?;
        let job_queue = self.options.queue.as_ref().unwrap_or(&self.session.cluster.job_queue).clone();
        let container = inspected.container.clone();
        let of_definition = inspected.summary.as_ref().map(|summary| summary.consumes.as_slice());
        let consumes = consumables::all_of(&spec, shape.nodes(), of_definition.unwrap_or_default())?;
        Ok(ResolvedJob { spec, shape, job_queue, job_definition, container, depends_on, consumes })
    }

    /// Plans the requests of the job. Pure.
    fn plan(&self, job: &ResolvedJob) -> Result<Plan, Failure> {
        let Session { cluster, region, .. } = &self.session;
        let submitter = submitter();
        let target = Target {
            bucket: &cluster.bucket,
            prefix: &cluster.prefix,
            region,
            shared: &cluster.shared,
            submitter: submitter.as_ref(),
        };
        let plan = Plan::new(job, self.inputs, &target, SubmissionId::random).map_err(|e| {
            // Without `--bare`, a bundle holds whatever is too long.
            Failure::usage(if job.spec.bare { format!("--bare: {e}") } else { e.to_string() })
        })?;
        Ok(match (&self.args.once, job.spec.limit) {
            (Some(key), Some(limit)) => {
                plan.limited(&consumables::limit_id(cluster, key, limit), limit, true)
            }
            _ => plan,
        })
    }

    /// Prints the requests of the job, with those that would come before them.
    async fn show(
        &self,
        images: &JobImages,
        definition: &JobDefinitionRef,
        plan: &Plan,
    ) -> Result<Exit, Failure> {
        let mut first = images.shown();
        if let Some(registration) = definition.registration() {
            first.push(dry_run::registration(&self.session, registration).await?);
        }
        let cluster = &self.session.cluster;
        self.args.show(dry_run::requests(cluster, first, &plan.bundles, self.inputs, &plan.requests)?)
    }

    /// Makes what the job still lacks: its images, and its job definition.
    async fn prepare(
        &mut self,
        job: ResolvedJob,
        inspected: InspectedDefinition,
        images: JobImages,
    ) -> Result<(ResolvedJob, JobImages), Failure> {
        let ResolvedJob { spec, depends_on, .. } = job;
        let (images, inspected) = if images.are_there() {
            (images, inspected)
        } else {
            let images = images.make(&mut self.session, self.args.quiet).await?;
            let inspected = self.inspect(&spec, &images).await?;
            (images, inspected)
        };
        let definition = JobDefinitionRef::Existing(register(&self.session, inspected.definition).await?);
        let inspected = InspectedDefinition { definition, ..inspected };
        Ok((self.resolve(spec, depends_on, &inspected)?, images))
    }

    /// Uploads the files of the job and submits it.
    async fn send(
        self,
        job: &ResolvedJob,
        plan: &Plan,
        checks_dependencies: bool,
        lacks_stdin: bool,
    ) -> Result<Exit, Failure> {
        let Self { args, options, inputs, session } = self;
        if std::io::stderr().is_terminal() && !args.quiet {
            let Cluster { name, .. } = &session.cluster;
            let queue = plan.requests.first().map_or("", |r| &r.job_queue);
            print_message(format!("bsub: cluster {name}, region {}, queue {queue}", session.region));
        }
        let repairs = stage::upload(&session, &plan.bundles, plan.is_fetched()).await?;
        stage::upload_inputs(&session, inputs).await?;
        let has_nodes = matches!(job.shape, ResolvedShape::Nodes(_));
        let sweep = has_nodes.then(|| stage::delete_stale_node_keys(&session));
        let check = checks_dependencies.then(|| session.clone());
        let beside = async {
            let repairs = join_all(repairs.into_iter().map(stage::Repair::run));
            let check = check.as_ref().map(|session| args.check_dependencies(session, &job.depends_on));
            let (_, _, checked) = tokio::join!(OptionFuture::from(sweep), repairs, OptionFuture::from(check));
            checked.unwrap_or(Ok(()))
        };
        if lacks_stdin {
            stdin::note_unread(options.stdin.is_some());
        }
        let is_numbered = job.spec.slurm.is_some() || job.spec.lsf.is_some();
        let submitted = args.submit_and_wait(options, session, &plan.requests, is_numbered);
        let (exit, ()) = tokio::try_join!(submitted, beside)?;
        Ok(exit)
    }
}

/// The failure of a submission. If the queue does not exist and a directive names it, a hint says
/// where. A failure to ask for the queue does not matter to the user, who has a failure already.
async fn explain_queue(
    session: &Session,
    failure: Failure,
    plan: &Plan,
    directive: Option<String>,
) -> Failure {
    let (Some(request), Some(directive), ErrorKind::NotFound) =
        (plan.requests.first(), directive, failure.kind())
    else {
        return failure;
    };
    match batch::find_queue(session, &request.job_queue).await {
        Ok(None) => failure.hint(format!("{directive} names the queue; `bsub -q NAME` overrides this line")),
        _ => failure,
    }
}

/// Registers a job definition that does not exist yet. Returns its name.
async fn register(session: &Session, definition: JobDefinitionRef) -> Result<String, Failure> {
    match definition {
        JobDefinitionRef::Existing(name) => Ok(name),
        JobDefinitionRef::Unregistered(registration) => {
            definition::register_definition(session, &registration).await
        }
    }
}

/// Prints how much memory a job has whose script asks for all memory of a node. A job definition
/// that was not read for another reason is read for this note; a failure to read it is not an
/// error.
async fn note_memory(
    session: &Session,
    asked: &Remark,
    job: &ResolvedJob,
    definition: Option<&DefinitionSummary>,
) {
    let (mib, source) = match job.spec.resources.memory {
        Some(memory) => (Some(memory.mib()), ""),
        None => {
            let read = match definition {
                Some(_) => None,
                None => definition::describe(session, &job.job_definition).await.ok(),
            };
            let container = definition.or(read.as_ref()).and_then(DefinitionSummary::container);
            (
                container.and_then(|container| container.memory_mib),
                ", as its job definition says; `--memory` requests more",
            )
        }
    };
    if let Some(mib) = mib {
        print_message(format!("bsub: note: `{}`: the job has {mib} MiB of memory{source}", asked.directive));
    }
}

/// The changes, with the EFS file systems that the cluster's jobs share. A mount of the job
/// replaces one of the cluster at the same path.
fn with_shared(shared: &[SharedDir], changes: ContainerChanges) -> ContainerChanges {
    let of_cluster = shared.iter().filter_map(SharedDir::efs).cloned();
    let given = |efs: &Efs| changes.mounts.iter().any(|mount| mount.container == efs.container);
    let efs = of_cluster.filter(|efs| !given(efs)).chain(changes.efs.iter().cloned()).collect();
    ContainerChanges { efs, ..changes }
}
