//! What is still to come.
#![allow(missing_docs)]

pub mod context {
    use std::io::{Cursor, Read};
    use std::path::Path;

    use crate::ui::Failure;

    #[derive(Debug, Clone)]
    pub struct Context {
        bytes: Vec<u8>,
    }

    impl Context {
        pub fn gather(dir: &Path, _dockerfile: Option<&Path>) -> Result<Self, Failure> {
            let mut tar = tar::Builder::new(Vec::new());
            tar.append_dir_all(".", dir).map_err(|e| Failure::failed(e.to_string()))?;
            Ok(Self { bytes: tar.into_inner().map_err(|e| Failure::failed(e.to_string()))? })
        }

        pub fn dockerfile(&self) -> &str {
            "Dockerfile"
        }

        pub fn tar(&self) -> impl Read + Send + 'static + use<> {
            Cursor::new(self.bytes.clone())
        }

        pub fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        pub fn sha256(&self) -> Result<String, Failure> {
            use sha2::Digest;
            Ok(sha2::Sha256::digest(&self.bytes).iter().map(|b| format!("{b:02x}")).collect())
        }
    }
}

#[derive(Debug, Clone)]
pub struct Recipe {
    pub context: context::Context,
    pub build_args: Vec<super::BuildArg>,
    pub platform: Option<super::Platform>,
}

impl Recipe {
    pub fn tag(&self) -> Result<super::Tag, crate::ui::Failure> {
        let sha = self.context.sha256()?;
        sha[..12].parse().map_err(|e: crate::job::Invalid| crate::ui::Failure::failed(e.to_string()))
    }
}
