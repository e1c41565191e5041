//! The common parts of the S3 operations: receiving content, and making it an object.

use std::sync::Arc;

use s3s::dto::{Checksum, ChecksumAlgorithm, CopySource, StreamingBlob};
use s3s::stream::ByteStream;
use s3s::{S3Error, S3Result, s3_error};

use super::content::{self, Written, internal};
use super::guard::Signer;
use super::listing::{Listing, Page};
use super::store::{Object as Stored, Store, StoreError};
use super::sum::Check;
use crate::home::space::Reserve;

/// S3 on this machine.
#[derive(Debug)]
pub struct LocalS3 {
    /// The store.
    pub store: Arc<Store>,
}

impl From<StoreError> for S3Error {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::NoSuchBucket => s3_error!(NoSuchBucket, "The specified bucket does not exist"),
            StoreError::NoSuchKey => s3_error!(NoSuchKey, "The specified key does not exist."),
            StoreError::NoSuchUpload => s3_error!(NoSuchUpload, "The specified upload does not exist."),
            StoreError::NotEmpty => s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"),
            StoreError::PreconditionFailed => {
                s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
            }
            StoreError::Damaged(harm) => content::damaged(&harm),
            StoreError::Io(e) => internal(e),
        }
    }
}

impl LocalS3 {
    /// S3 over a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Runs an operation of the store on a thread where it may block.
    pub async fn with<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(&self.store);
        let outcome = tokio::task::spawn_blocking(move || operation(&store)).await.map_err(internal)?;
        outcome.map_err(|e| refusal(&self.store, e))
    }

    /// Writes a body to a new file; the file is removed when the request fails or goes away before
    /// it becomes an object.
    pub async fn receive(
        &self,
        body: Option<StreamingBlob>,
        expected: Checksum,
        content_md5: Option<String>,
        trailers: Option<s3s::TrailingHeaders>,
        algorithm: Option<ChecksumAlgorithm>,
        extensions: &http::Extensions,
    ) -> S3Result<(Received, Written)> {
        let size = body.as_ref().and_then(|body| body.remaining_length().exact());
        if let Some(shortage) = Reserve::open(self.store.home()).shortage(size.unwrap_or(0) as u64) {
            content::drop_rest(body).await;
            return Err(content::no_space(&shortage));
        }
        let (name, path) = self.store.new_blob();
        let received = Received::new(&self.store, name);
        let algorithm = algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let written =
            content::write(&path, body, expected, content_md5, trailers, algorithm, extensions).await?;
        Ok((received, written))
    }

    /// The same for a copy of another object.
    pub async fn receive_copy(&self, body: StreamingBlob) -> S3Result<(Received, Written)> {
        self.receive(Some(body), Checksum::default(), None, None, None, &http::Extensions::new()).await
    }

    /// Makes received content part of the index. The operation goes on when the request goes away,
    /// so the content goes with it: a row without its file would be a lost object.
    pub async fn commit(
        &self,
        signer: Option<Signer>,
        received: Received,
        operation: impl FnOnce(&Store, &str) -> Result<(), StoreError> + Send + 'static,
    ) -> S3Result<()> {
        let stored = self.with(move |store| {
            // The body may have taken longer than its key was valid.
            if let Err(refused) = Signer::check(signer.as_ref()) {
                return Ok(Err(refused));
            }
            operation(store, &received.name)?;
            received.keep();
            Ok(Ok(()))
        });
        stored.await?
    }

    /// Compares an object with its checksum while it is sent.
    pub fn comparison(&self, object: &Stored) -> content::Comparison {
        let (store, object) = (Arc::clone(&self.store), object.clone());
        let check = Check::new(object.sum());
        let report = move || {
            tracing::warn!("s3: the content of {:?} is not what was stored", object.key);
            store.is_damaged(&object);
        };
        (check, Box::new(report))
    }

    /// The object that a copy is made of.
    pub async fn source(&self, source: &CopySource) -> S3Result<(Stored, std::fs::File)> {
        let CopySource::Bucket { bucket, key, .. } = source else {
            return Err(s3_error!(NotImplemented, "copies from access points are not supported"));
        };
        let (bucket, key) = (bucket.to_string(), key.to_string());
        self.with(move |store| {
            let (object, file) = store.get(&bucket, &key)?;
            store.verify(&object, false)?;
            Ok((object, file))
        })
        .await
    }

    /// Checks that an upload is one of this object.
    pub async fn require_upload(&self, bucket: &str, key: &str, upload: &str) -> S3Result<()> {
        let (bucket, key, upload) = (bucket.to_owned(), key.to_owned(), upload.to_owned());
        self.with(move |store| store.require_upload(&bucket, &key, &upload)).await
    }

    /// A page of a listing.
    pub async fn page(&self, query: Listing) -> S3Result<Page> {
        self.with(move |store| query.run(store)).await
    }
}

/// The answer when a store could not do something.
pub fn refusal(store: &Store, e: StoreError) -> S3Error {
    match e {
        StoreError::Io(e) => content::disk(store.home(), &e),
        other => other.into(),
    }
}

/// Content that is not an object yet.
#[derive(Debug)]
pub struct Received {
    store: Arc<Store>,
    /// The name of the file in the store.
    pub name: String,
    is_object: bool,
}

impl Received {
    /// A new file of a store.
    pub fn new(store: &Arc<Store>, name: String) -> Self {
        Self { store: Arc::clone(store), name, is_object: false }
    }

    /// It has become an object.
    pub fn keep(mut self) {
        self.is_object = true;
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.is_object {
            self.store.discard(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    use crate::s3::store::{Condition, New};

    #[tokio::test]
    async fn a_request_that_goes_away_leaves_the_object_whole_or_none() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(crate::home::files::OBJECTS)).unwrap();
        let store = Arc::new(Store::open(home.path(), &mut Vec::new()).unwrap());
        let s3 = LocalS3::new(Arc::clone(&store));
        let body = StreamingBlob::from(s3s::Body::from("content".to_owned()));
        let (received, written) = s3.receive_copy(body).await.unwrap();
        let ((has_begun, begun), (go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
        let commit = tokio::spawn(async move {
            s3.commit(None, received, move |store, name| {
                has_begun.send(()).unwrap();
                wait.recv().unwrap();
                let new = New { etag: "etag", size: written.size, blob: name, crc64: &written.crc64 };
                store.put(crate::constants::BUCKET, "k", new, "{}", &Condition::None)
            })
            .await
        });
        tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        // The client has gone: hyper drops what was answering it.
        commit.abort();
        assert!(commit.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let object = loop {
            match store.get(crate::constants::BUCKET, "k") {
                Err(StoreError::NoSuchKey) if std::time::Instant::now() < deadline => {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                other => break other,
            }
        };
        let (_, mut file) = object.unwrap();
        assert_eq!(std::io::read_to_string(&mut file).unwrap(), "content");
    }
}
