//! Follows a build, its phases and its log, until it has ended.

use std::time::{Duration, Instant};

use aws_sdk_codebuild::error::ProvideErrorMetadata;

use super::build::{Build, BuildName, Log};
use super::project::{self, refused};
use crate::aws::{ResilientSession, Session, explain};
use crate::batch::PollInterval;
use crate::logs::{Event, StreamFollower};
use crate::ui::{ErrorKind, Failure};

/// The shortest interval between two requests for the state of a build: right after a change.
const SHORTEST: Duration = Duration::from_millis(300);
/// The longest interval between two requests for the state of a build: after a while without
/// changes.
const LONGEST: Duration = Duration::from_secs(3);
/// A build that has just been started may be unknown to CodeBuild for this long.
const SETTLE: Duration = Duration::from_secs(10);

/// An update about a build that is followed.
pub enum BuildUpdate<'a> {
    /// The current state of the build.
    Build(&'a Build),
    /// New lines of its log.
    Lines(&'a [Event]),
    /// The log cannot be read. A caller that does not need it goes on.
    NoLog(Failure),
}

/// Follows a build to its end, and to the end of its log.
///
/// # Errors
/// When there is no such build, contact is lost for good, or `report` fails.
pub async fn follow(
    contact: &mut ResilientSession,
    id: &str,
    mut report: impl FnMut(BuildUpdate<'_>) -> Result<(), Failure>,
) -> Result<Build, Failure> {
    let started = Instant::now();
    let mut pace = PollInterval::new(SHORTEST, LONGEST);
    let mut current: Option<Build> = None;
    let mut stream: Option<StreamFollower> = None;
    let mut has_log = true;
    let mut ended_at: Option<Instant> = None;
    loop {
        let mut has_changed = false;
        if ended_at.is_none() {
            match contact.keep(async |session| describe(session, id).await).await? {
                Some(build) => {
                    has_changed = current.as_ref() != Some(&build);
                    ended_at = build.has_ended().then(Instant::now);
                    current = Some(build);
                }
                None if current.is_some() || started.elapsed() < SETTLE => {}
                None => return Err(no_such_build(contact.session(), id)),
            }
        }
        if let Some(Log::Stream(place)) = current.as_ref().map(|build| &build.log)
            && stream.is_none()
        {
            stream = Some(StreamFollower::new(place.clone()));
        }
        let mut any = false;
        if let Some(stream) = stream.as_mut().filter(|_| has_log) {
            let mut reported = Ok(());
            let mut print = |events: &[Event]| {
                reported = report(BuildUpdate::Lines(events));
                reported.clone()
            };
            match stream.read(contact, &mut print).await {
                Ok(more) => any = more,
                Err(failure) => {
                    reported?;
                    has_log = false;
                    report(BuildUpdate::NoLog(failure))?;
                }
            }
        }
        // The end of a phase is reported after the lines of the phase.
        if let Some(build) = &current {
            report(BuildUpdate::Build(build))?;
        }
        if any || has_changed {
            pace.quicken();
        }
        if let (Some(build), Some(since)) = (&current, ended_at) {
            // The last lines may still be on their way. After a success they are not needed.
            let settle = match build.has_succeeded() || stream.is_none() || !has_log {
                true => Duration::ZERO,
                false => contact.session().cluster.log_settle,
            };
            if !any && since.elapsed() >= settle {
                return Ok(build.clone());
            }
        }
        tokio::time::sleep(pace.pause()).await;
    }
}

/// The current state of a build. `None`: CodeBuild does not know it.
///
/// # Errors
/// When CodeBuild cannot be asked.
pub async fn describe(session: &Session, id: &str) -> Result<Option<Build>, Failure> {
    match session.codebuild().batch_get_builds().ids(id).send().await {
        Ok(answer) => Ok(answer.builds().first().and_then(Build::read)),
        // CodeBuild answers this when the text cannot be an ID.
        Err(e) if e.code() == Some("InvalidInputException") => Ok(None),
        Err(e) => Err(explain(session, &format!("looking at the build {id}"), &e)),
    }
}

/// The failure for a build that does not exist. CodeBuild keeps the history for a year (User Guide,
/// `Quotas for AWS CodeBuild`).
pub fn no_such_build(session: &Session, id: &str) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no build {id} ({})", session.describe()))
        .hint("CodeBuild forgets a build after a year")
}

/// The ID of a build that a user has named.
///
/// # Errors
/// When the name needs the cluster's project and there is none; when CodeBuild cannot be asked.
pub async fn resolve(session: &Session, name: &BuildName) -> Result<String, Failure> {
    match name {
        BuildName::Id(id) => Ok(id.clone()),
        BuildName::OfProject(uuid) => Ok(format!("{}:{uuid}", project::name(session)?)),
        BuildName::Last => {
            let project = project::name(session)?;
            // The latest build comes first (API `ListBuildsForProject`, sortOrder).
            match session.codebuild().list_builds_for_project().project_name(project).send().await {
                Ok(answer) => answer.ids().first().cloned().ok_or_else(|| {
                    Failure::failed(format!("the CodeBuild project {project} has had no build yet"))
                }),
                Err(e) => {
                    let doing = format!("listing the builds of the CodeBuild project {project}");
                    Err(refused(session, project, e.code(), explain(session, &doing, &e)))
                }
            }
        }
    }
}
