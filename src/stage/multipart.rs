//! Uploads a large archive to S3 in parts, several at a time. Parts that an interrupted upload has
//! stored are not sent again.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::config::Builder as S3Config;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, EncodingType, MetadataDirective,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::checksum::Checksums;
use super::listing::decode_key;
use super::packed_inputs::PackedInputs;
use super::part_source::{PartSource, part_size};
use super::parts::{self, Part, PartContent, StoredPart};
use super::upload::{Content, ObjectState, inspect, storing, time_for};
use crate::aws::{Call, Pages, Session, explain};
use crate::ui::{EndSignal, ErrorKind, Failure, ProgressBar, SignalListener, print_message};
use awsb_model::object_key;

/// At most this many bytes of parts are sent at the same time.
const IN_FLIGHT_BYTES: u64 = 32 << 20;
/// At most this many parts are sent at the same time.
const IN_FLIGHT: usize = 4;
/// The time limit for S3 to join the parts ("can take several minutes", API:
/// CompleteMultipartUpload).
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(600);
/// An upload that somebody else has ended or changed meanwhile is continued at most this many
/// times.
const ROUNDS: u32 = 4;

/// Stores large inputs in the cluster's bucket, unless they exist already.
///
/// # Errors
/// When a file cannot be read or changes, or the bucket is missing, may not be written or cannot be
/// reached. The next call for the same content continues the upload.
pub async fn upload_inputs(session: &Session, inputs: &PackedInputs) -> Result<(), Failure> {
    let (PackedInputs::Large(archive, checksums), Some(name)) = (inputs, inputs.name()) else {
        return Ok(());
    };
    let key = object_key(&session.cluster.prefix, &name);
    let upload = Upload {
        session,
        key: &key,
        source: archive,
        checksums,
        labels: &INPUTS,
        metadata: None,
        quiet: false,
    };
    match upload.inspect().await? {
        ObjectState::Old => {
            refresh(session, &key).await;
            Ok(())
        }
        found => upload.run_from(found).await,
    }
}

/// Stores an object again by copying it onto itself, so that `awsb prune` takes it for a new one.
/// The inputs are there in any case, so a failure is only printed.
async fn refresh(session: &Session, key: &str) {
    let bucket = &session.cluster.bucket;
    let source = percent_encoding::utf8_percent_encode(key, &ENCODED_IN_SOURCE);
    let copy = session
        .s3
        .copy_object()
        .bucket(bucket)
        .key(key)
        .copy_source(format!("{bucket}/{source}"))
        // S3 refuses to copy an object onto itself unless something of it is replaced.
        .metadata_directive(MetadataDirective::Replace)
        .content_type(INPUTS.content_type)
        .send();
    if let Err(e) = copy.await {
        let doing = format!("renewing the inputs s3://{bucket}/{key}");
        let failure = explain(session, Call::new(&doing).bucket(bucket), &e);
        print_message(format!("bsub: note: {failure}"));
    }
}

/// Characters that are encoded in the source of a copy (API: CopyObject, `x-amz-copy-source`).
const ENCODED_IN_SOURCE: percent_encoding::AsciiSet =
    percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// The names of an upload in messages, and its content type.
#[derive(Debug)]
pub(super) struct UploadLabels {
    /// The content, such as `the inputs`.
    pub what: &'static str,
    /// The title of the progress bar.
    pub sending: &'static str,
    /// The object's `Content-Type`.
    pub content_type: &'static str,
    /// The consequence of an interruption.
    pub not_done: &'static str,
}

const INPUTS: UploadLabels = UploadLabels {
    what: "the inputs",
    sending: "sending the inputs",
    content_type: "application/x-tar",
    not_done: "no job was submitted",
};

/// The upload of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upload<'a, S> {
    pub session: &'a Session,
    pub key: &'a str,
    pub source: &'a S,
    pub checksums: &'a Checksums,
    pub labels: &'static UploadLabels,
    /// The object's metadata.
    pub metadata: Option<&'a HashMap<String, String>>,
    pub quiet: bool,
}

impl<S: PartSource> Upload<'_, S> {
    /// Stores the object, which has this state now, unless it exists already. An object with
    /// another content is replaced.
    ///
    /// # Errors
    /// As [`upload_inputs`].
    pub async fn run_from(&self, mut found: ObjectState) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            if matches!(found, ObjectState::Same | ObjectState::Old)
                || self.send(found == ObjectState::Different).await?
            {
                return Ok(());
            }
            found = self.inspect().await?;
        }
        Err(Failure::failed(format!("{}: others kept changing it", self.doing()))
            .hint("try again a little later"))
    }

    fn bucket(&self) -> &str {
        &self.session.cluster.bucket
    }

    fn doing(&self) -> String {
        storing(self.session, self.labels.what, self.key)
    }

    fn wrong<E>(&self, e: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        explain(self.session, Call::new(&self.doing()).bucket(self.bucket()), e)
    }

    /// Compares the object in the bucket with the content.
    async fn inspect(&self) -> Result<ObjectState, Failure> {
        let content = Content { length: self.source.length(), checksums: self.checksums, bytes: None };
        inspect(self.session, self.key, &content, &self.doing()).await
    }

    /// Sends the missing parts. Returns `false` if somebody else has ended or changed the upload.
    async fn send(&self, replaces: bool) -> Result<bool, Failure> {
        let (id, stored_parts) = match self.resumable().await? {
            Some(found) => found,
            None => (self.begin().await?, HashMap::new()),
        };
        let mut stored = 0;
        let mut signals = SignalListener::listen();
        let sent = unless_interrupted(self.send_parts(&id, stored_parts, &mut stored), signals.next()).await;
        match sent.unwrap_or_else(|signal| Ok(SendOutcome::Interrupted(signal)))? {
            SendOutcome::All(parts) => {
                let done = though_interrupted(self.complete(&id, parts, replaces), signals.next()).await;
                done.unwrap_or_else(|signal| Err(self.interrupted(signal, stored)))
            }
            SendOutcome::UploadGone => Ok(false),
            // The parts may be those of a file that was being written, so the upload cannot be
            // continued.
            SendOutcome::InputsChanged(failure) => {
                self.abort(&id).await;
                Err(failure)
            }
            SendOutcome::Interrupted(signal) => Err(self.interrupted(signal, stored)),
        }
    }

    fn interrupted(&self, signal: EndSignal, stored: u64) -> Failure {
        let (stored, all) = (stored >> 20, self.source.length() >> 20);
        let message = format!(
            "{signal}: of {}, {stored} of {all} MiB are stored, and {}",
            self.labels.what, self.labels.not_done
        );
        Failure::new(ErrorKind::Interrupted(signal), message).hint("the same command sends the rest")
    }

    async fn begin(&self) -> Result<String, Failure> {
        let create = self.session.s3.create_multipart_upload().bucket(self.bucket()).key(self.key);
        let created = create
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .content_type(self.labels.content_type)
            .set_metadata(self.metadata.cloned())
            .send()
            .await;
        let created = created.map_err(|e| self.wrong(&e))?;
        created.upload_id.ok_or_else(|| Failure::failed(format!("{}: S3 gave no upload ID", self.doing())))
    }

    /// The unfinished upload of this object with the most parts, and its parts. Uploads that cannot
    /// be continued are removed, because S3 charges for them.
    async fn resumable(&self) -> Result<Option<(String, HashMap<i32, StoredPart>)>, Failure> {
        // Others may have begun uploads whose keys XML cannot carry.
        let list = self.session.s3.list_multipart_uploads().bucket(self.bucket()).prefix(self.key);
        let (uploads, encoding) = match list.encoding_type(EncodingType::Url).send().await {
            Ok(listed) => (listed.uploads.unwrap_or_default(), listed.encoding_type),
            // Listing needs a permission of its own, and the upload works without it.
            Err(e) if refused(&e) => return Ok(None),
            Err(e) => return Err(self.wrong(&e)),
        };
        let mut best: Option<(String, HashMap<i32, StoredPart>)> = None;
        let is_ours = |key: &str| decode_key(key, encoding.as_ref()) == self.key;
        for upload in uploads.into_iter().filter(|u| u.key().is_some_and(is_ours)) {
            let Some(id) = upload.upload_id else { continue };
            match self.parts(&id).await? {
                Some(parts) if !self.fit(&parts) => self.abort(&id).await,
                Some(parts) if best.as_ref().is_none_or(|(_, longest)| parts.len() > longest.len()) => {
                    best = Some((id, parts));
                }
                _ => {}
            }
        }
        Ok(best)
    }

    /// The parts of an upload; `None` if it has ended or may not be read.
    async fn parts(&self, id: &str) -> Result<Option<HashMap<i32, StoredPart>>, Failure> {
        let list = self.session.s3.list_parts().bucket(self.bucket()).key(self.key).upload_id(id);
        let mut pages = Pages::new(|token| list.clone().set_part_number_marker(token).send());
        let mut parts = HashMap::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(e) if e.of_call().is_some_and(refused) || e.code() == Some("NoSuchUpload") => {
                    return Ok(None);
                }
                Err(e) => return Err(e.explain(self.session, Call::new(&self.doing()).bucket(self.bucket()))),
            };
            for part in page.parts.unwrap_or_default() {
                if let (Some(number), Some(etag), Some(size)) = (part.part_number, part.e_tag, part.size) {
                    let size = u64::try_from(size).unwrap_or(0);
                    parts.insert(number, StoredPart { etag, size, crc32: part.checksum_crc32 });
                }
            }
        }
        Ok(Some(parts))
    }

    /// Whether the parts have the sizes that we use.
    fn fit(&self, parts: &HashMap<i32, StoredPart>) -> bool {
        let (length, size) = (self.source.length(), part_size(self.source.length()));
        let last = length.div_ceil(size);
        parts.iter().all(|(number, part)| match u64::try_from(*number) {
            Ok(number) if number == last => part.size == length - (last - 1) * size,
            Ok(number) => number < last && part.size == size,
            Err(_) => false,
        })
    }

    /// Sends the parts that are not among `stored_parts`. `stored` counts the bytes that S3 has.
    async fn send_parts(
        &self,
        id: &str,
        stored_parts: HashMap<i32, StoredPart>,
        stored: &mut u64,
    ) -> Result<SendOutcome, Failure> {
        let length = self.source.length();
        let at_once = usize::try_from(IN_FLIGHT_BYTES / part_size(length)).unwrap_or(1).clamp(1, IN_FLIGHT);
        let (sender, mut cut) = mpsc::channel(1);
        let (source, sha256) = (self.source.clone(), self.checksums.sha256.clone());
        tokio::task::spawn_blocking(move || parts::cut(&source, &sha256, &stored_parts, &sender));
        let mut progress = ProgressBar::new(self.labels.sending, length).unless(self.quiet);
        let (mut done, mut sending) = (Vec::new(), FuturesUnordered::new());
        let mut all_cut = false;
        while !(all_cut && sending.is_empty()) {
            tokio::select! {
                part = cut.recv(), if !all_cut && sending.len() < at_once => match part {
                    Some(Ok(part)) => sending.push(self.send_part(id, part)),
                    Some(Err(e)) => return Ok(SendOutcome::InputsChanged(Failure::failed(e.to_string()))),
                    None => all_cut = true,
                },
                Some(sent) = sending.next() => match sent? {
                    Some((part, size)) => {
                        done.push(part);
                        *stored += size;
                        progress.advance(size);
                    }
                    None => return Ok(SendOutcome::UploadGone),
                },
            }
        }
        if *stored != length {
            return Err(Failure::failed(format!("{}: parts of it are missing", self.doing())));
        }
        done.sort_by_key(CompletedPart::part_number);
        Ok(SendOutcome::All(done))
    }

    /// Sends one part, unless S3 has it. Returns `None` if somebody has ended the upload.
    async fn send_part(&self, id: &str, part: Part) -> Result<Option<(CompletedPart, u64)>, Failure> {
        let completed = CompletedPart::builder().part_number(part.number).checksum_crc32(&part.crc32);
        let content = match part.content {
            PartContent::Stored(etag) => return Ok(Some((completed.e_tag(etag).build(), part.size))),
            PartContent::New(content) => content,
        };
        let timeouts = TimeoutConfig::builder().operation_timeout(time_for(part.size)).build();
        let put = self.session.s3.upload_part().bucket(self.bucket()).key(self.key).upload_id(id);
        let sent = put
            .part_number(part.number)
            .checksum_crc32(part.crc32)
            .body(ByteStream::from(content))
            .customize()
            // The checksum is in a signed header, so a second hash of the part is not needed.
            .disable_payload_signing()
            .config_override(S3Config::new().timeout_config(timeouts))
            .send()
            .await;
        match sent {
            Ok(sent) => Ok(Some((completed.set_e_tag(sent.e_tag).build(), part.size))),
            Err(e) if e.code() == Some("NoSuchUpload") => Ok(None),
            Err(e) => Err(self.wrong(&e).hint("the same command sends the missing parts")),
        }
    }

    /// Joins the parts to the object. Returns `false` if S3 has other parts, or the upload is gone.
    async fn complete(&self, id: &str, parts: Vec<CompletedPart>, replaces: bool) -> Result<bool, Failure> {
        let timeouts = TimeoutConfig::builder().operation_timeout(COMPLETE_TIMEOUT).build();
        let completed = self
            .session
            .s3
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(self.key)
            .upload_id(id)
            .set_if_none_match((!replaces).then(|| "*".to_owned()))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .customize()
            .config_override(S3Config::new().timeout_config(timeouts))
            .send()
            .await;
        match completed {
            Ok(_) => Ok(true),
            // Somebody else has stored the same content.
            Err(e) if e.code() == Some("PreconditionFailed") => {
                self.abort(id).await;
                Ok(true)
            }
            Err(e) if is_contested(&e) => Ok(false),
            Err(e) => Err(self.wrong(&e).hint("the same command continues the upload")),
        }
    }

    /// Removes the parts of an upload. If that fails, the next upload finds them.
    async fn abort(&self, id: &str) {
        let abort = self.session.s3.abort_multipart_upload().bucket(self.bucket()).key(self.key);
        let _ = abort.upload_id(id).send().await;
    }
}

/// The outcome of sending the parts.
#[derive(Debug)]
enum SendOutcome {
    All(Vec<CompletedPart>),
    UploadGone,
    InputsChanged(Failure),
    Interrupted(EndSignal),
}

fn refused<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> bool {
    matches!(e.raw_response().map(|r| r.status().as_u16()), Some(403 | 501))
}

/// Whether another process ended the upload or replaced parts of it (S3 User Guide, conditional
/// writes: "On a 409 failure you should retry the upload").
fn is_contested(e: &SdkError<CompleteMultipartUploadError, HttpResponse>) -> bool {
    matches!(e.code(), Some("NoSuchUpload" | "InvalidPart" | "ConditionalRequestConflict"))
}

/// Does the work unless a signal comes. A signal at the same time wins, so nothing is begun after
/// it.
async fn unless_interrupted<T>(
    work: impl Future<Output = T>,
    signal: impl Future<Output = EndSignal>,
) -> Result<T, EndSignal> {
    tokio::select! {
        biased;
        signal = signal => Err(signal),
        done = work => Ok(done),
    }
}

/// Does the work unless a signal comes. Work that is done at the same time wins, so it is not
/// reported as undone.
async fn though_interrupted<T>(
    work: impl Future<Output = T>,
    signal: impl Future<Output = EndSignal>,
) -> Result<T, EndSignal> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        signal = signal => Err(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_at_the_same_time() {
        let signal = || std::future::ready(EndSignal::Terminate);
        let begins = async { panic!("it is not begun") };
        assert_eq!(unless_interrupted::<()>(begins, signal()).await, Err(EndSignal::Terminate));
        // The winner does not depend on chance.
        for _ in 0..100 {
            assert_eq!(though_interrupted(async { 1 }, signal()).await, Ok(1));
        }
        assert_eq!(
            though_interrupted::<()>(std::future::pending(), signal()).await,
            Err(EndSignal::Terminate)
        );
    }
}
