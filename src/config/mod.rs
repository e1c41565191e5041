//! The configuration: the settings file, the defaults of jobs, and which cluster a command uses.
//!
//! A [`Cluster`] is a name for a queue, its job definitions, a bucket and a region. [`resolve()`]
//! finds the one that a command uses. Nothing here talks to AWS: files and variables are all that
//! is read. This is the only module that knows how a cluster can be local; all that follows from it
//! is an endpoint and credentials.

mod defaults;
mod edit;
mod image_settings;
mod parallelcluster_cli_cfg;
mod parallelcluster_stack;
pub(crate) mod proxy_url;
mod region;
mod resolve;
mod settings;
mod text_file;
mod toml_reader;
mod user_folders;

pub use defaults::{DefaultLine, Defaults};
pub use edit::{
    ClusterEntry, SettingsChange, add_cluster, check_free, has_default, has_stale_section, remove_cluster,
};
pub use image_settings::{Builder, Images};
pub use parallelcluster_stack::Stack;
pub use region::parse_region;
pub use resolve::{
    Cluster, ClusterSelector, OldFile, Place, account, cluster_names, defaults, lsf_unit, old_env_blacklist,
    old_file, places, queues_in_settings, resolve, secrets, settings_path,
};
pub use settings::{LOCAL, PodLogs};
pub use text_file::{read_text, shown_name};
pub use user_folders::{cache_home, config_home, data_home, home, state_home};

// The fuzz targets (`fuzz/`) call these.
#[doc(hidden)]
pub use {parallelcluster_cli_cfg::OldSettings, settings::Settings};
