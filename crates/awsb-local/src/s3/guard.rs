//! Which requests are answered: the owner's and host jobs' all, of a job in a container those that
//! reach what is its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::Checksum;
use s3s::path::S3Path;
use s3s::{S3Error, S3Request, S3Result, s3_error};
use sha2::{Digest as _, Sha256};

use super::headers::maker;
use super::store::Store;
use crate::access::objects::{self, Condition, ObjectKind, Request, Verdict};
use crate::access::operation::S3;
use crate::access::{Credentials, Keys, Operation, Principal, Rule};
use crate::batch::{JobScope, Reader};
use crate::constants::BUCKET;
use crate::http::protocol::ApiError;
use crate::http::{RequestInfo, parameter};

/// The check before a request is answered, and before its body is read.
pub struct Guard {
    keys: Arc<Keys>,
    reader: Reader,
    store: Arc<Store>,
}

/// The permission for a request, which goes along with it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Permission {
    /// The content has to have this digest.
    Digest(Digest),
    /// The new object belongs to this job.
    Maker(Maker),
    /// Nothing.
    None,
}

/// The ID of the job in a container that has made an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker(String);

impl Maker {
    /// The maker of the object that a request writes, if it is recorded.
    pub fn of<T>(request: &S3Request<T>) -> Option<String> {
        request.extensions.get::<Self>().map(|maker| maker.0.clone())
    }
}

/// The key that a request is signed with, which goes along with the request: by the time its body
/// has come, it may not be valid any more.
#[derive(Clone)]
pub struct Signer {
    keys: Arc<Keys>,
    credentials: Credentials,
}

impl Signer {
    /// Whose request it is.
    pub fn of<T>(request: &S3Request<T>) -> Option<Self> {
        request.extensions.get().cloned()
    }

    /// Checks that the key is still valid. Call this at the moment at which an object is stored.
    ///
    /// # Errors
    /// `AccessDenied` when its attempt has ended meanwhile, or the key has been replaced.
    pub fn check(signer: Option<&Self>) -> S3Result<()> {
        let is_valid = |signer: &Self| {
            let now = signer.keys.find(&signer.credentials.access_key_id);
            now.is_some_and(|(_, credentials)| credentials == signer.credentials)
        };
        if signer.is_none_or(is_valid) { Ok(()) } else { Err(not_valid()) }
    }
}

/// The error for a key that was valid when the request began.
fn not_valid() -> S3Error {
    s3_error!(AccessDenied, "The key that the request is signed with is not valid any more")
}

/// The SHA-256 that the content of an object must have, according to its name. It goes along with
/// the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of the content that a request must write, if the object's name has one.
    pub fn of<T>(request: &S3Request<T>) -> Option<Self> {
        request.extensions.get().copied()
    }

    /// Has the content checked: its SHA-256 is one more checksum that the request gives.
    ///
    /// # Errors
    /// When the request gives another one itself.
    pub fn expect(digest: Option<Self>, expected: &mut Checksum) -> S3Result<()> {
        let Some(Self(digest)) = digest else { return Ok(()) };
        let digest = super::content::base64(&digest);
        match &expected.checksum_sha256 {
            Some(given) if *given != digest => Err(Self::wrong()),
            _ => {
                expected.checksum_sha256 = Some(digest);
                Ok(())
            }
        }
    }

    /// Whether this is the SHA-256 of a file.
    ///
    /// # Errors
    /// `BadDigest` when it is not, and when the file cannot be read.
    pub fn check(self, file: File) -> S3Result<()> {
        let mut hash = Sha256::new();
        let mut file = BufReader::with_capacity(128 * 1024, file);
        loop {
            let bytes = file.fill_buf().map_err(super::content::internal)?;
            if bytes.is_empty() {
                break;
            }
            hash.update(bytes);
            let length = bytes.len();
            file.consume(length);
        }
        if hash.finalize().as_slice() == self.0 { Ok(()) } else { Err(Self::wrong()) }
    }

    /// The error for content whose name is that of other content.
    pub fn wrong() -> S3Error {
        s3_error!(
            BadDigest,
            "The name of an object in bundles/ is the SHA-256 of its content; this is another one"
        )
    }
}

impl Guard {
    /// Over the keys, and the database that says whose job is whose.
    pub fn new(keys: Arc<Keys>, reader: Reader, store: Arc<Store>) -> Self {
        Self { keys, reader, store }
    }

    /// Removes a record of `--once` that a job in a container has made, because the owner asks for
    /// its key: a submission of a container must not pass for the owner's.
    async fn forget_record_of_a_container(&self, key: String) {
        let store = Arc::clone(&self.store);
        let forget = move || match store.head(BUCKET, &key) {
            Ok(object) if maker(&object).is_some() => store.delete(BUCKET, &key),
            _ => Ok(()),
        };
        // The request itself meets the same error of the store.
        let _ = tokio::task::spawn_blocking(forget).await;
    }

    /// On which terms a request is answered that a job in a container has signed; `key` names its
    /// object.
    ///
    /// # Errors
    /// `AccessDeniedException` when it is not.
    async fn permission(
        &self,
        who: Principal,
        request: Request,
        key: String,
    ) -> Result<Permission, ApiError> {
        let store = Arc::clone(&self.store);
        self.reader
            .read(move |db| {
                let JobScope::Of(own) = JobScope::of(db, &who)? else { return Ok(Permission::None) };
                let operation = request.operation;
                let denied = |why: &str| Err(own.attempt().denied(Operation::S3(operation), why));
                match objects::verdict(request, &own.objects()) {
                    Verdict::Allowed => Ok(Permission::None),
                    Verdict::WithDigest(digest) => Ok(Permission::Digest(Digest(digest))),
                    Verdict::AsItsOwn => Ok(Permission::Maker(Maker(own.id().to_owned()))),
                    Verdict::IfMade => match store.head(BUCKET, &key).ok().and_then(|object| maker(&object)) {
                        // A job that replaces an object becomes its maker.
                        Some(job) if own.has_made(db, &job)? => Ok(Permission::Maker(Maker(own.id().to_owned()))),
                        _ => denied("only records of --once that its own jobs have made are"),
                    },
                    Verdict::IfReadable(jobs) => {
                        for job in &jobs {
                            if own.reads(db, job)? {
                                return Ok(Permission::None);
                            }
                        }
                        denied("only results of its own jobs, of what these have submitted, and of its dependencies are")
                    }
                    Verdict::Refused(why) => denied(why),
                }
            })
            .await
    }
}

/// The operation, object and condition of a request; `None` for an operation that is not in the
/// table.
fn asked(cx: &S3AccessContext<'_>) -> Option<Request> {
    let operation = S3::named(cx.s3_op().name())?;
    let kind = match (cx.s3_path(), operation.rule()) {
        (S3Path::Object { bucket, key }, _) => ObjectKind::of(bucket, key),
        // A listing is of the keys that begin with its prefix.
        (S3Path::Bucket { bucket }, Rule::List) => {
            ObjectKind::of(bucket, &parameter(cx.uri(), "prefix").unwrap_or_default())
        }
        _ => ObjectKind::Other,
    };
    let header = |name| cx.headers().get(name).map(http::HeaderValue::as_bytes);
    let condition = match (header(http::header::IF_NONE_MATCH), header(http::header::IF_MATCH)) {
        (Some(b"*"), _) => Condition::Absent,
        // `*` matches any object.
        (None, Some(tag)) if tag != b"*" => Condition::Same,
        _ => Condition::None,
    };
    Some(Request { operation, kind, condition })
}

#[async_trait::async_trait]
impl S3Access for Guard {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = S3::named(cx.s3_op().name()).map_or("-", |operation| operation.name());
        if let Some(info) = cx.extensions_mut().get::<RequestInfo>() {
            info.set_operation(operation);
        }
        let signed = cx.credentials().and_then(|credentials| self.keys.find(&credentials.access_key));
        let Some((who, credentials)) = signed else { return Err(not_valid()) };
        cx.extensions_mut().insert(Signer { keys: Arc::clone(&self.keys), credentials });
        if who.contained().is_none() {
            if let (Some(Request { kind: ObjectKind::Once, .. }), S3Path::Object { key, .. }) =
                (asked(cx), cx.s3_path())
            {
                self.forget_record_of_a_container(key.to_string()).await;
            }
            return Ok(());
        }
        let Some(request) = asked(cx) else {
            return Err(s3_error!(AccessDenied, "no such request is allowed for a job in a container"));
        };
        let denied = |e: ApiError| match e.code {
            "AccessDeniedException" => s3_error!(AccessDenied, "{}", e.message),
            _ => s3_error!(InternalError, "{}", e.message),
        };
        who.check(Operation::S3(request.operation)).map_err(denied)?;
        let key = match cx.s3_path() {
            S3Path::Object { key, .. } => key.to_string(),
            S3Path::Bucket { .. } | S3Path::Root => String::new(),
        };
        match self.permission(who, request, key).await.map_err(denied)? {
            Permission::Digest(digest) => {
                cx.extensions_mut().insert(digest);
            }
            Permission::Maker(maker) => {
                cx.extensions_mut().insert(maker);
            }
            Permission::None => {}
        }
        Ok(())
    }
}
