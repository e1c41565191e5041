//! The environment of jobs on the host.

use crate::constants::REGION;
use crate::home::Home;
use crate::home::endpoint::Endpoint;
use crate::home::files::HOME_VARIABLE;

/// The environment of every job on the host, apart from its key pair. As far as possible it is the
/// same on every machine, and independent of the shell that has started the server.
pub fn of_host_jobs(home: &Home, endpoint: &Endpoint) -> Vec<(String, String)> {
    let connection = endpoint.connection();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    let (name, folder, shell) = match user {
        Some(user) => (user.name, user.dir.display().to_string(), user.shell.display().to_string()),
        // No entry for this user, as in some containers.
        None => ("user".to_owned(), "/".to_owned(), "/bin/sh".to_owned()),
    };
    let (path, language) = if cfg!(target_os = "macos") {
        ("/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "en_US.UTF-8")
    } else {
        ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "C.UTF-8")
    };
    [
        ("HOME", folder),
        ("USER", name.clone()),
        ("LOGNAME", name),
        ("SHELL", shell),
        ("PATH", with_tools(path)),
        ("LANG", language.to_owned()),
        ("AWS_ENDPOINT_URL", connection.endpoint_url),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        // The tools that a job calls use this cluster.
        (HOME_VARIABLE, home.path().display().to_string()),
        ("AWSB_CLUSTER", "local".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// A PATH in which a job finds the tools that this server belongs to before any others of their
/// names.
fn with_tools(path: &str) -> String {
    let tools = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_str()?.to_owned()));
    match tools.filter(|folder| !folder.contains(':') && path.split(':').all(|known| known != folder)) {
        Some(folder) => format!("{folder}:{path}"),
        None => path.to_owned(),
    }
}
