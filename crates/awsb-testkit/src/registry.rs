//! A registry on this machine: Debian's `docker-registry`, with the one user that ECR has.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::foreign::program;

/// The password that moto's GetAuthorizationToken gives for its account, behind bcrypt: whoever
/// pushes has asked there. (`htpasswd -nbB AWS 123456789012-auth-token`)
const USERS: &str = "AWS:$2y$05$awsbawsbawsbawsbawsbauBWLmsNDiIJWZglxrq/xuzXs515Re10C\n";

/// A registry that takes what is pushed with the password of moto's ECR. It is gone when this is
/// dropped.
#[derive(Debug)]
pub struct Registry {
    /// `127.0.0.1:PORT`; engines speak HTTP with what is there, by default.
    pub host: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one: Debian's `docker-registry`.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("awsb-registry-").tempdir().expect("a temporary folder");
        let users = folder.path().join("users");
        let config = folder.path().join("config.yml");
        std::fs::write(&users, USERS).expect("a file");
        let text = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\n\
             http: {{addr: '127.0.0.1:0'}}\nauth:\n  htpasswd: {{realm: awsb, path: {users:?}}}\n",
            folder.path().join("images")
        );
        std::fs::write(&config, text).expect("a file");
        let mut process = Command::new(program("docker-registry"))
            .arg("serve")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it is there");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let host = lines.by_ref().find_map(|line| {
            let rest = line.ok()?.split_once("listening on ")?.1.to_owned();
            Some(rest.split(['"', ',', ' ']).next()?.to_owned())
        });
        // It would stop at a pipe that nobody empties.
        std::thread::spawn(move || lines.for_each(drop));
        let host = host.expect("the registry says where it listens");
        Self { host, process, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
