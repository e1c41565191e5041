//! S3: the protocol is the `s3s` crate's, the store is ours.

mod content;
mod frames;
mod listing;
mod names;
mod service;
mod store;

use std::io;
use std::path::Path;
use std::sync::Arc;

use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};

use super::http::Keys;
pub use frames::follow;
pub use store::content;

use service::LocalS3;
use store::Store;

/// S3 over the home's store, for requests signed with one of `keys`; what a key may do is the same for all.
///
/// # Errors
/// When the store cannot be opened.
pub fn service(home: &Path, keys: Keys) -> io::Result<S3Service> {
    let mut builder = S3ServiceBuilder::new(LocalS3::new(Arc::new(Store::open(home)?)));
    builder.set_auth(Users(keys));
    Ok(builder.build())
}

struct Users(Keys);

#[async_trait::async_trait]
impl S3Auth for Users {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.find(access_key) {
            Some((_, credentials)) => Ok(SecretKey::from(credentials.secret_access_key.as_str())),
            None => Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )),
        }
    }
}
