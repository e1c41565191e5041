//! The cluster that a job goes to, as far as staging needs it.

use awsb_model::{SharedDir, Submitter};

/// The cluster that a job goes to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The bucket for bundles.
    pub bucket: &'a str,
    /// The prefix of the bucket's keys, without a slash at its end.
    pub prefix: &'a str,
    /// The bucket's region.
    pub region: &'a str,
    /// The directories that the cluster's jobs share.
    pub shared: &'a [SharedDir],
    /// The user who submits the job.
    pub submitter: Option<&'a Submitter>,
}

impl Target<'_> {
    /// The `s3://` URL of a folder of the cluster.
    pub(super) fn url(&self, folder: &str) -> String {
        awsb_model::object_url(self.bucket, self.prefix, folder)
    }
}
