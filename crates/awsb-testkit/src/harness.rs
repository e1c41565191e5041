//! The test harness: it finds the stories of a program, runs them, and reports those that could not
//! run as ignored.
//!
//! Rust's own harness decides whether a test is ignored when it compiles it. Whether a machine has
//! a Docker engine is known later, when a story asks for it: [`missing`] then ends the story, and
//! libtest-mimic reports it as ignored, with the reason.

use std::fmt::Debug;
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use awsb::ui::ignored_signals;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::Signal;

#[doc(hidden)]
pub use inventory;

/// A test: `#[story]` makes one of a function.
#[derive(Debug)]
pub struct Story {
    /// `PROGRAM::MODULE::FUNCTION`.
    pub name: &'static str,
    /// Runs it; a failure is a panic.
    pub run: fn(),
}

inventory::collect!(Story);

/// Where the build has put what the tests use. `awsb_testkit::main!()` knows it.
#[derive(Debug)]
pub struct Built {
    /// One of the tools.
    pub tool: &'static str,
    /// A folder for what outlives a test program, such as the Python environment
    /// (`CARGO_TARGET_TMPDIR`).
    pub scratch: &'static str,
}

static BUILT: OnceLock<Built> = OnceLock::new();

/// The function `main` of a test program.
#[macro_export]
macro_rules! main {
    () => {
        fn main() -> std::process::ExitCode {
            $crate::harness::run($crate::harness::Built {
                tool: env!("CARGO_BIN_EXE_awsb"),
                scratch: env!("CARGO_TARGET_TMPDIR"),
            })
        }
    };
}

/// Runs the stories of this program that its arguments choose.
pub fn run(built: Built) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(stories_at_once);
    let _ = BUILT.set(built);
    pass_on_default_signals();
    let mut stories: Vec<&Story> = inventory::iter::<Story>().collect();
    stories.sort_by_key(|story| story.name);
    let trial = |story: &Story| {
        // The program's own name is no help: it is the same for all.
        let name = story.name.split_once("::").map_or(story.name, |(_, name)| name);
        let run = story.run;
        Trial::ignorable_test(name, move || within_limit(name, run, STORY_LIMIT))
    };
    libtest_mimic::run(&arguments, stories.into_iter().map(trial).collect()).exit_code()
}

/// The number of stories that run at the same time, if the command line does not say it: two for
/// each CPU, because stories wait for servers, jobs and time more than they compute.
fn stories_at_once() -> usize {
    2 * thread::available_parallelism().map_or(1, usize::from)
}

/// Makes the programs that stories start have the default action for signals that this process
/// ignores, as it does under `nohup` or when a shell script has started it with `&`. A program
/// inherits an ignored signal, but not one that has a handler (execve(2)).
fn pass_on_default_signals() {
    let ignored = ignored_signals();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        let signal = signal as i32;
        if ignored & (1_u64 << (signal - 1)) != 0 {
            // The handler does nothing more: this process goes on ignoring the signal.
            let _ = signal_hook::flag::register(signal, Arc::default());
        }
    }
}

/// A story that has not ended by then never will: the slowest takes two minutes on a busy machine.
/// It fails, so that a run ends and names it.
const STORY_LIMIT: Duration = Duration::from_secs(900);

/// Runs a story on a thread of its own, which nobody waits for beyond the limit.
fn within_limit(name: &str, run: fn(), limit: Duration) -> Result<Completion, Failed> {
    let (sender, receiver) = mpsc::channel();
    let story = move || {
        // The receiver is gone when the limit has passed.
        let _ = sender.send(catch_unwind(run));
    };
    thread::Builder::new().name(name.to_owned()).spawn(story)?;
    match receiver.recv_timeout(limit) {
        Ok(outcome) => completion(outcome),
        Err(_) => Err(format!("the story has not ended within {} s", limit.as_secs()).into()),
    }
}

fn completion(outcome: thread::Result<()>) -> Result<Completion, Failed> {
    match outcome {
        Ok(()) => Ok(Completion::Completed),
        Err(panic) => match panic.downcast::<Missing>() {
            Ok(missing) => Ok(Completion::ignored_with(missing.0)),
            // The panic has been reported by the panic hook; libtest-mimic keeps its text for the
            // summary.
            Err(panic) => resume_unwind(panic),
        },
    }
}

/// The reason for which a story cannot run here, as it travels up to [`completion`].
struct Missing(String);

/// Ends a story that needs something that this machine does not have: it is reported as ignored,
/// with the reason.
///
/// With `CI=true` in the environment it fails instead, so that no run of `.ci/run` passes because
/// it tested nothing.
#[track_caller]
pub fn missing(what: &str, why: &str) -> ! {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "CI=true, and nothing may be ignored: {what}: {why}");
    // Not `panic!`, whose hook would print it as a failure.
    resume_unwind(Box::new(Missing(format!("{what}: {why}"))))
}

/// A value that a story may return.
pub trait StoryResult {
    /// Panics when it is a failure.
    fn check(self);
}

impl StoryResult for () {
    fn check(self) {}
}

impl<E: Debug> StoryResult for Result<(), E> {
    #[track_caller]
    fn check(self) {
        if let Err(error) = self {
            panic!("the story ended with an error: {error:?}");
        }
    }
}

/// Runs a story that is `async`, with a worker beside it, so that what it has spawned goes on while
/// it blocks.
pub fn block_on<F: Future>(story: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(story)
}

/// The path of one of the tools that were built for this test program.
pub fn program_built(name: &str) -> String {
    bin_folder().join(name).display().to_string()
}

/// The folder with the built tools.
pub(crate) fn bin_folder() -> &'static Path {
    Path::new(built().tool).parent().expect("the folder of the built programs")
}

/// A folder for what outlives a test program.
pub(crate) fn scratch() -> &'static Path {
    Path::new(built().scratch)
}

fn built() -> &'static Built {
    BUILT.get().expect("the test program has `awsb_testkit::main!()`")
}

/// The root of this repository.
pub fn repository() -> &'static Path {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    kit.ancestors().nth(2).expect("the kit is in crates/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_that_hangs_fails() {
        let hangs = || loop {
            thread::park();
        };
        let failed = within_limit("hangs", hangs, Duration::from_millis(1)).err();
        assert!(failed.is_some_and(|failed| failed.message().is_some_and(|m| m.contains("not ended"))));
        assert!(within_limit("ends", || (), STORY_LIMIT).is_ok());
    }
}
