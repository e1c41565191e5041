//! Images on a Docker engine: they are built there, and pushed from there.
//!
//! ```text
//! Context --tar--> engine (BuildKit or classic builder) --> REPOSITORY:TAG --push--> registry
//!                                                        or awsb:TAG
//! ```

mod build;
mod build_events;
mod buildkit;
mod classic;
mod client;
mod credentials;
mod layers;
mod local_images;
mod local_only;
mod progress_view;
mod push;
mod push_error;
mod request_body;

pub use build::{Options, build, builder};
pub(super) use client::REPOSITORY;
pub use client::{Engine, platform};
pub(super) use local_images::{describe, details, image_engine, list, remove};
pub use local_only::local_only_id;
pub use push::push;
