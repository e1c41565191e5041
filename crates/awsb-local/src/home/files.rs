//! The names of everything in a home, relative to it.

/// The variable that names the home folder.
pub const HOME_VARIABLE: &str = "AWSB_LOCAL_HOME";

/// The socket of the server. A Unix socket's path has at most 108 bytes (104 on macOS), so both
/// ends use it with the home as their working directory.
pub const SOCKET: &str = "server.sock";
/// The folder of the runners' journals and locks, and of the records of commands beside jobs.
pub const RUNNERS: &str = "runners";
/// The folder of the jobs' working directories.
pub const SCRATCH: &str = "scratch";
/// The folder of the log streams.
pub const LOGS: &str = "logs";
/// The settings.
pub const SETTINGS: &str = "settings.json";
/// The Batch database.
pub const BATCH_DATABASE: &str = "batch.db";
/// The events that PutLogEvents has stored.
pub const LOG_DATABASE: &str = "logs.db";
/// The S3 index.
pub const OBJECT_DATABASE: &str = "objects.db";
/// All databases.
pub const DATABASES: [&str; 3] = [BATCH_DATABASE, OBJECT_DATABASE, LOG_DATABASE];
/// The folder of the S3 objects' content.
pub const OBJECTS: &str = "objects";
/// The background server's log.
pub const SERVER_LOG: &str = "server.log";
/// The part of the log before [`SERVER_LOG`].
pub const SERVER_OLD_LOG: &str = "server.log.1";
/// The next [`SERVER_LOG`], until the old one has been renamed.
pub const SERVER_NEW_LOG: &str = "server.log.new";

/// The record of everything that this home has on Docker engines.
pub const CONTAINERS: &str = "containers.json";

/// A file that reserves space: it is given up so that the ends of jobs can be recorded on a full
/// disk.
pub const RESERVE: &str = "reserve";
/// A file that is written to test whether the disk takes data, and removed at once.
pub const PROBE: &str = "probe";

/// Failures that a test asks for in stacks: see `crate::cloudformation`.
pub const STACK_FAULTS: &str = "stack-faults.json";

/// The address and credentials of the server that last ran here. The file exists from its first
/// start on.
pub const ENDPOINT: &str = "endpoint.json";
/// All that a home has, except for the files that outlive a reset.
pub const OURS: [&str; 17] = [
    RESERVE,
    PROBE,
    ENDPOINT,
    SETTINGS,
    SERVER_LOCK,
    SOCKET,
    SERVER_LOG,
    SERVER_OLD_LOG,
    SERVER_NEW_LOG,
    BATCH_DATABASE,
    OBJECT_DATABASE,
    LOG_DATABASE,
    LOGS,
    OBJECTS,
    RUNNERS,
    SCRATCH,
    STACK_FAULTS,
];
/// The names in [`OURS`] that are folders.
pub const FOLDERS: [&str; 4] = [RUNNERS, SCRATCH, LOGS, OBJECTS];
/// The suffixes of the files that SQLite, or a change that was interrupted, leaves beside a file.
pub const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-commits", "-journal", ".new"];
/// Files that interrupted changes of earlier versions have left.
pub const LEFT_BY_EARLIER: [&str; 2] = ["endpoint.new", "containers.new"];
/// The lock that guards starts; its content marks the folder as a home.
pub const START_LOCK: &str = "start.lock";
/// The lock of the one server.
pub const SERVER_LOCK: &str = "server.lock";
/// The suffix of the file beside a database that has the number of its commits.
pub const COMMITS_SUFFIX: &str = "-commits";
/// The suffixes of the files in [`RUNNERS`]: a runner's lock, its journal, and the journal before
/// that; and the record of a command beside a job.
pub const RUNNER_FILE_KINDS: [&str; 4] = [RUNNER_LOCK, RUNNER_JOURNAL, RUNNER_OLD_JOURNAL, SESSION_RECORD];
/// The suffix of a runner's lock.
pub const RUNNER_LOCK: &str = "lock";
/// The suffix of a runner's journal.
pub const RUNNER_JOURNAL: &str = "journal";
/// The suffix of a runner's previous journal.
pub const RUNNER_OLD_JOURNAL: &str = "journal-old";
/// The suffix of the record of a command beside a job.
pub const SESSION_RECORD: &str = "session";
