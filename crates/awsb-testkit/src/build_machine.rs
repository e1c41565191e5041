//! A machine of CodeBuild's, as far as buildspec.yml needs one: `codebuild.py` runs the phases.

use std::time::Duration;

use serde_json::Value;

use crate::foreign::{engine, program, python, script};
use crate::harness::repository;
use crate::{Moto, MotoCluster, Outcome, Registry, Sandbox};

/// The buildspec.
pub fn buildspec() -> String {
    repository().join("buildspec.yml").display().to_string()
}

/// A machine of CodeBuild's: a Docker engine, the `aws` CLI, and a registry that takes moto's
/// tokens.
#[derive(Debug)]
pub struct BuildMachine {
    /// Where it works.
    pub sandbox: Sandbox,
    /// Where its ECR and its bucket are.
    pub cluster: MotoCluster,
    /// Where images go.
    pub registry: Registry,
    bucket: String,
    /// The repository in the registry.
    pub image: String,
    /// A local image to build from.
    pub base: &'static str,
    /// Whether the engine keeps the images of the registry after this.
    pub is_kept: bool,
}

impl BuildMachine {
    /// `name` is the repository's.
    pub fn new(name: &str) -> Self {
        let base = engine();
        let moto = Moto::without_containers();
        let registry = Registry::start();
        program("docker");
        let cluster = moto.cluster(name);
        let mut sandbox = cluster.aws_sandbox();
        let image = format!("{}/awsb-test/{name}", registry.host);
        let work = sandbox.work().join("build").display().to_string();
        sandbox.set("AWSB_WORK", work);
        sandbox.set("AWSB_IMAGE", image.as_str());
        let bucket = cluster.part("bucket");
        Self { sandbox, cluster, registry, bucket, image, base, is_kept: false }
    }

    /// Puts a build context with these files into the bucket.
    pub fn stage(&mut self, files: &[(&str, &str)]) {
        let folder = self.sandbox.work().join("context");
        for (name, text) in files {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, text).expect("a file");
        }
        self.sandbox.run("tar", ["-czf", "context.tar.gz", "-C", "context", "."]).ok();
        let url = format!("s3://{}/contexts/x.tar.gz", self.bucket);
        self.sandbox.run("aws", ["s3", "cp", "context.tar.gz", &url]).ok();
        self.sandbox.set("AWSB_CONTEXT", url);
    }

    /// Sets a variable of the build.
    pub fn set(&mut self, name: &str, value: &str) {
        self.sandbox.set(name, value);
    }

    /// Runs the phases.
    pub fn build(&self) -> MachineBuild {
        self.build_with(&[])
    }

    /// The same, with options of `codebuild.py`.
    pub fn build_with(&self, options: &[&str]) -> MachineBuild {
        let python = python().join("bin/python");
        let mut args = vec![script("codebuild.py").display().to_string(), buildspec(), "run".to_owned()];
        args.extend(options.iter().map(|o| (*o).to_owned()));
        // Several builds at once, on a machine that has more to do.
        let building = self.sandbox.start(&python.display().to_string(), args);
        let outcome = building.wait_for(Duration::from_secs(600)).ok();
        let (log, last) = outcome.stdout.trim_end().rsplit_once('\n').expect("a log and a result");
        MachineBuild { log: log.to_owned(), result: serde_json::from_str(last).expect("JSON") }
    }

    /// The engine forgets what it has of the registry, as if the next build came on another
    /// machine.
    pub fn forget(&self) {
        let images = self.docker(&["images", "--quiet", "--no-trunc", &self.image]).stdout;
        for image in images.lines() {
            self.docker(&["rmi", "--force", image]);
        }
    }

    /// Runs Docker's client, logged in as the build has.
    pub fn docker(&self, args: &[&str]) -> Outcome {
        self.sandbox.run("docker", args)
    }

    /// The tags in the registry.
    pub fn tags(&self) -> Vec<String> {
        let url = format!("http://{}/v2/awsb-test/{}/tags/list", self.registry.host, self.name());
        let answer = self.sandbox.run(
            "python",
            [
                "-c",
                "import base64, sys, urllib.error, urllib.request as r\n\
                 auth = base64.b64encode(b'AWS:' + sys.argv[2].encode()).decode()\n\
                 try: print(r.urlopen(r.Request(sys.argv[1], headers={'Authorization': 'Basic ' + auth})).read().decode())\n\
                 except urllib.error.HTTPError as e: print('{}' if e.code == 404 else e)",
                &url,
                Moto::ECR_PASSWORD,
            ],
        );
        let answer: Value = serde_json::from_str(&answer.ok().stdout).expect("JSON");
        let tags = answer["tags"].as_array().into_iter().flatten();
        let mut tags: Vec<String> = tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        tags.sort();
        tags
    }

    /// The text that a step has left in the image that was built last.
    pub fn layer(&self) -> String {
        self.docker(&["run", "--rm", &format!("{}:latest", self.image), "cat", "/layer"]).ok().stdout
    }

    fn name(&self) -> &str {
        self.image.rsplit('/').next().expect("a name")
    }
}

impl Drop for BuildMachine {
    fn drop(&mut self) {
        if !self.is_kept {
            self.forget();
        }
    }
}

/// A build that has ended.
#[derive(Debug)]
pub struct MachineBuild {
    /// The output of the build.
    pub log: String,
    result: Value,
}

impl MachineBuild {
    /// `SUCCEEDED` or `FAILED`.
    pub fn status(&self) -> &str {
        self.result["buildStatus"].as_str().expect("a status")
    }

    /// It went well.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.status(), "SUCCEEDED", "{}", self.log);
        self
    }

    /// It failed in this phase, which was its last.
    #[track_caller]
    pub fn failed_in(self, phase: &str) -> Self {
        let last = self.result["phases"].as_array().and_then(|phases| phases.last()).expect("phases");
        assert_eq!(
            (self.status(), last["phaseType"].as_str(), last["phaseStatus"].as_str()),
            ("FAILED", Some(phase), Some("FAILED")),
            "{}",
            self.log
        );
        self
    }

    /// A variable that buildspec.yml exports.
    pub fn exported(&self, name: &str) -> &str {
        self.result["exportedEnvironmentVariables"][name].as_str().unwrap_or_default()
    }

    /// Its log has this text.
    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.log.contains(text), "no {text:?} in\n{}", self.log);
    }
}
