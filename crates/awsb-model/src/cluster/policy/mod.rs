//! The least IAM policies of those who make a cluster and of those who use it.

pub(in crate::cluster) mod statement;
pub(in crate::cluster) mod user;
