//! S3: the protocol is the `s3s` crate's, the store is ours.

mod backend;
mod content;
mod frames;
mod guard;
mod headers;
mod listing;
mod multipart;
mod names;
mod service;
mod store;
mod sum;

use std::sync::Arc;

use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};

use crate::access::Keys;
use crate::access::secrets::{OF_AN_ENDED_JOB, attempt_of};
use crate::batch::Reader;
pub use backend::LocalS3;
pub use frames::follow;
use guard::Guard;
pub use store::{Store, StoreError, content};

/// S3 over the home's store, for requests signed with one of `keys`. The database says what a
/// request of a container may do.
pub fn service(store: Arc<Store>, keys: Arc<Keys>, reader: Reader) -> S3Service {
    let mut builder = S3ServiceBuilder::new(LocalS3::new(Arc::clone(&store)));
    builder.set_auth(Users(Arc::clone(&keys)));
    builder.set_access(Guard::new(keys, reader, store));
    builder.build()
}

struct Users(Arc<Keys>);

#[async_trait::async_trait]
impl S3Auth for Users {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.find(access_key) {
            Some((_, credentials)) => Ok(SecretKey::from(credentials.secret_access_key)),
            None => {
                let of_job =
                    attempt_of(access_key).map(|_| format!(": {OF_AN_ENDED_JOB}")).unwrap_or_default();
                let why = "The AWS Access Key Id you provided does not exist in our records";
                Err(s3_error!(InvalidAccessKeyId, "{why}{of_job}"))
            }
        }
    }
}
