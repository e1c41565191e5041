//! The input of a build: everything that an image is made of.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Context;
use crate::ui::Failure;
use awsb_model::image::{BuildArg, Platform, Tag};

/// Everything that an image is made of. The same input is built once.
#[derive(Debug, Clone)]
pub struct BuildInput {
    /// The build context.
    pub context: Context,
    /// Values for the Dockerfile's ARGs. If a name comes several times, the last value counts.
    pub build_args: Vec<BuildArg>,
    /// The platform of the image. `None` is the builder's own ([`super::BuildPlan`]).
    pub platform: Option<Platform>,
}

impl BuildInput {
    /// The default tag of the image: a hash of the input. The first call reads all files of the
    /// context.
    pub fn tag(&self) -> Result<Tag, Failure> {
        let (context, dockerfile) = (self.context.sha256()?, self.context.dockerfile());
        let tag = Tag::of_hash(&self.hash(&context, dockerfile));
        tag.map_err(|e| Failure::failed(format!("making a tag of the build context: {e}")))
    }

    fn hash(&self, context: &str, dockerfile: &str) -> String {
        let mut hash = Sha256::new();
        // Each word comes after its length, so that two different lists never give the same bytes.
        let mut add = |word: &str| {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word);
        };
        add(context);
        add(dockerfile);
        add(self.platform.map_or("", Platform::as_str));
        for (name, value) in self.arguments() {
            add(name);
            add(value);
        }
        hex::encode(hash.finalize())
    }

    /// The build arguments that have a value, by name.
    pub fn arguments(&self) -> BTreeMap<&str, &str> {
        let all: BTreeMap<&str, Option<&str>> =
            self.build_args.iter().map(|arg| (arg.name.as_str(), arg.value.as_deref())).collect();
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The default tag of a build input. It reads all files of the context.
pub async fn tag_of(input: &BuildInput) -> Result<Tag, Failure> {
    let input = input.clone();
    let tag = tokio::task::spawn_blocking(move || input.tag()).await;
    tag.map_err(|e| Failure::failed(format!("reading the build context: {e}"))).flatten()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn input(folder: &Path, args: &[&str], platform: Option<Platform>) -> BuildInput {
        std::fs::write(folder.join("Dockerfile"), "FROM scratch\n").unwrap();
        let context = Context::gather(folder, None).unwrap();
        BuildInput { context, build_args: args.iter().map(|a| a.parse().unwrap()).collect(), platform }
    }

    #[test]
    fn all_that_an_image_is_made_of_counts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let input = |args: &[&str], platform| input(folder.path(), args, platform);
        let hash = |args: &[&str], platform| input(args, platform).hash("c", "Dockerfile");
        let plain = hash(&[], None);
        assert_eq!(Tag::of_hash(&plain).unwrap().as_str(), &plain[..20]);
        assert_eq!(hash(&["A=1", "B=2"], None), hash(&["B=2", "A=0", "A=1"], None));
        assert_eq!(hash(&["AWSB_NOT_THERE"], None), plain);
        let others = [
            hash(&["A=1"], None),
            hash(&["A="], None),
            hash(&["A=1", "B=2"], None),
            hash(&["A=1B", "B=2"], None),
            hash(&[], Some(Platform::Arm64)),
            input(&[], None).hash("c", "d/Dockerfile"),
            input(&[], None).hash("d", "Dockerfile"),
        ];
        let different: std::collections::BTreeSet<_> = others.iter().chain([&plain]).collect();
        assert_eq!(different.len(), others.len() + 1);
    }

    #[test]
    fn the_same_folder_has_one_tag() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let tag = input(one.path(), &[], None).tag().unwrap();
        assert_eq!(tag, input(two.path(), &[], None).tag().unwrap());
        assert_ne!(tag, input(two.path(), &["A=1"], None).tag().unwrap());
    }
}
