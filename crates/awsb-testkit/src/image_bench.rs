//! Images that a test makes on a Docker engine, and a line to it that can be cut.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bollard::Docker;
use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};

use crate::{Moto, Sandbox, engine};

/// A sandbox, and the images on the engine that it makes: each of them has a variable that no other
/// has.
pub struct ImageBench {
    /// With a home and a cluster.
    pub sandbox: Sandbox,
    /// The variable.
    pub mark: String,
    /// The image that all of them are based on.
    pub base: &'static str,
}

impl ImageBench {
    /// With the local cluster.
    pub fn new() -> Self {
        let base = engine();
        let mut sandbox = Sandbox::new();
        sandbox.set("AWSB_CLUSTER", "local");
        Self::of(sandbox, base)
    }

    /// With a cluster whose images go to this repository, by moto's tokens.
    pub fn with_repository(repository: &str) -> Self {
        let base = engine();
        static CLUSTERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("engine{}", CLUSTERS.fetch_add(1, Ordering::SeqCst));
        let cluster = Moto::without_containers().cluster(&name);
        let sandbox = cluster.sandbox();
        sandbox.config(&format!(
            "{}builder = \"docker\"\necr_repository = \"{repository}\"\n",
            cluster.config()
        ));
        Self::of(sandbox, base)
    }

    fn of(sandbox: Sandbox, base: &'static str) -> Self {
        Self { sandbox, mark: format!("AWSB_MARK_{}", uuid::Uuid::new_v4().simple()), base }
    }

    /// Writes a Dockerfile with these instructions, and returns the folder.
    pub fn dockerfile(&self, instructions: &str) -> &'static str {
        let text = format!("FROM {}\nENV {}=1\n{instructions}\n", self.base, self.mark);
        self.sandbox.file("context/Dockerfile", text);
        "context"
    }

    /// Makes an image with a name.
    pub fn image(&self, name: &str) {
        self.dockerfile("RUN echo hello > /hello");
        let tag = name.split_once(':').unwrap().1;
        self.sandbox.run("bimage", ["build", "-c", "local", "-q", "--tag", tag, "context"]).ok();
    }

    /// The images that this one has made, even those without a name.
    pub fn images(&self) -> Vec<ImageInspect> {
        on_engine(async |docker| {
            let options = ListImagesOptionsBuilder::new().all(true).build();
            let mut found = Vec::new();
            for image in docker.list_images(Some(options)).await.unwrap() {
                // It may be another test's, and gone.
                let Ok(image) = docker.inspect_image(&image.id).await else { continue };
                let environment =
                    image.config.as_ref().and_then(|config| config.env.clone()).unwrap_or_default();
                if environment.iter().any(|variable| variable.starts_with(&self.mark)) {
                    found.push(image);
                }
            }
            found
        })
    }

    /// The names of these images.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.images().into_iter().flat_map(|i| i.repo_tags.unwrap_or_default()).collect();
        names.sort();
        names
    }

    /// A tag that no other test has.
    pub fn tag(&self) -> String {
        format!("test-{}", &self.mark[10..30])
    }
}

impl Drop for ImageBench {
    fn drop(&mut self) {
        let names = self.images().into_iter().flat_map(|image| {
            let names = image.repo_tags.unwrap_or_default();
            if names.is_empty() { vec![image.id.unwrap_or_default()] } else { names }
        });
        let names: Vec<String> = names.collect();
        on_engine(async |docker| {
            let options = RemoveImageOptionsBuilder::new().force(true).build();
            for name in &names {
                let _ = docker.remove_image(name, Some(options.clone()), None).await;
            }
        });
    }
}

/// Asks the engine.
pub fn on_engine<T>(ask: impl AsyncFnOnce(&Docker) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { ask(&Docker::connect_with_defaults().unwrap()).await })
}

/// A line to the engine that can be cut.
pub struct EngineLine {
    /// Its end for a client.
    pub address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl EngineLine {
    /// To the engine that is there.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self { address: listener.local_addr().unwrap(), open: Arc::default() };
        let open = Arc::clone(&line.open);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                open.lock().unwrap().push(client.try_clone().unwrap());
                let host = std::env::var("DOCKER_HOST").unwrap_or_default();
                let path = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
                let engine = UnixStream::connect(path).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let (mut from, mut to) = (engine, client);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        line
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
