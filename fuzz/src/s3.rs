//! S3 requests to a real store.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use awsb_local::internals::{LocalS3, OBJECTS, Store, follow, signature};
use awsb_local::{BUCKET, REGION};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use quick_xml::events::Event;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// Requests of one input are limited, as the time for it is.
const REQUESTS: usize = 8;
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// Sends requests to an empty store: see [`Service::requests`].
pub fn s3(data: &[u8]) {
    service().requests(data);
}

/// Sends an aws-chunked body: see [`Service::chunked`].
pub fn chunked(data: &[u8]) {
    service().chunked(data);
}

fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| Service::new().expect("a store can be opened in the temporary folder"))
}

/// S3 over a store of its own, in a folder for temporary files.
#[derive(Debug)]
struct Service {
    runtime: tokio::runtime::Runtime,
    service: S3Service,
    store: Arc<Store>,
    home: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Service {
    /// Opens the store.
    ///
    /// # Errors
    /// When its files cannot be created.
    fn new() -> io::Result<Self> {
        let home = tempfile::tempdir()?;
        std::fs::create_dir(home.path().join(OBJECTS))?;
        let store = Arc::new(Store::open(home.path(), &mut Vec::new())?);
        let mut builder = S3ServiceBuilder::new(LocalS3::new(Arc::clone(&store)));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, service: builder.build(), store, home })
    }

    /// Requests to an empty store, one after the other, with `%%` on a line between them. Each is
    /// signed before it is sent. In what follows a CreateMultipartUpload, `UPLOAD` stands for its
    /// upload ID; `ETAG` is the latest ETag.
    ///
    /// # Panics
    /// When an answer is a failure of the server, or is not well-formed, or when a file is left
    /// that belongs to no object.
    fn requests(&self, data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        let (mut upload, mut etag) = (String::new(), String::new());
        for text in text.split("\n%%\n").take(REQUESTS) {
            let text = text.replace("UPLOAD", &upload).replace("ETAG", &etag);
            let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
            let Some(mut request) = super::requests::head(head.as_bytes()) else { continue };
            let unsigned =
                request.headers_mut().remove(CONTENT_SHA256).is_some_and(|v| v == "UNSIGNED-PAYLOAD");
            let payload =
                if unsigned { SignableBody::UnsignedPayload } else { SignableBody::Bytes(body.as_bytes()) };
            request.headers_mut().entry(CONTENT_LENGTH).or_insert(body.len().into());
            let Some((request, _)) = signed(request, payload) else { continue };
            let method = request.method().clone();
            let query = request.uri().query().unwrap_or_default();
            let urls = query.split('&').any(|parameter| parameter == "encoding-type=url");
            let answer = self.answer(request, s3s::Body::from(Bytes::copy_from_slice(body.as_bytes())));
            check(&method, urls, &answer, &text);
            let text = String::from_utf8_lossy(&answer.body);
            if let Some((_, rest)) = text.split_once("<UploadId>") {
                upload = rest.split('<').next().unwrap_or_default().to_owned();
            }
            if let Some(tag) = answer.headers.get("etag").and_then(|tag| tag.to_str().ok()) {
                etag = tag.to_owned();
            }
        }
        self.clear();
    }

    /// An aws-chunked body. The first line is `OPERATION DECLARED FRAME MODE TRAILER`: `put` or
    /// `part`; the declared length; how many bytes come at once; `unsigned`, `signed`,
    /// `signed-trailer`, or `forged` for chunks that keep the signatures they have; the announced
    /// trailer, or `-`. The rest is the body. Its chunks and trailers are signed where they say
    /// `chunk-signature=` and `x-amz-trailer-signature:`.
    ///
    /// # Panics
    /// When a body is accepted without its end, its declared length, its trailer or good
    /// signatures, or its object has another content.
    fn chunked(&self, data: &[u8]) {
        let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
        let Ok(first) = std::str::from_utf8(&data[..line]) else { return };
        let mut body = data.get(line + 1..).unwrap_or_default().to_vec();
        let words: Vec<&str> = first.split(' ').collect();
        let [operation, declared, frame, mode, trailer] = words[..] else { return };
        let Ok(frame) = frame.parse::<usize>() else { return };
        let payload = match mode {
            "unsigned" => SignableBody::StreamingUnsignedPayloadTrailer,
            "signed-trailer" => SignableBody::StreamingSignedPayloadTrailer,
            _ => SignableBody::Precomputed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned()),
        };
        let upload = match operation {
            "part" => Some(self.store.create_upload(BUCKET, "k", "{}").expect("an upload can begin")),
            _ => None,
        };
        let uri = match &upload {
            Some(id) => format!("/{BUCKET}/k?partNumber=1&uploadId={id}"),
            None => format!("/{BUCKET}/k"),
        };
        let mut request = Request::put(uri)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", declared)
            .header(CONTENT_LENGTH, body.len());
        if trailer != "-" {
            request = request.header("x-amz-trailer", trailer);
        }
        let signed = request.body(()).ok().and_then(|request| signed(request, payload));
        if let Some((request, seed)) = signed {
            let stamp = request.headers().get("x-amz-date").and_then(|v| v.to_str().ok()).unwrap_or_default();
            if mode != "forged" {
                sign_chunks(&mut body, stamp, seed);
            }
            let frames: Vec<_> = body
                .chunks(frame.clamp(1, 64 * 1024))
                .map(|bytes| Ok::<_, io::Error>(Frame::data(Bytes::copy_from_slice(bytes))))
                .collect();
            let sent = s3s::Body::http_body_unsync(StreamBody::new(futures_util::stream::iter(frames)));
            let answer = self.answer(request, sent);
            check(&Method::PUT, false, &answer, first);
            if answer.status.is_success() {
                assert_ne!(mode, "forged", "chunks without a good signature are accepted");
                let (content, trailers) = decoded(&body).expect("a body without its end is accepted");
                let stored = self.stored(upload.as_deref());
                assert_eq!(declared.parse(), Ok(content.len()), "the declared length is another one");
                assert!(stored == content, "what is stored is not what was sent");
                let mut announced =
                    trailer.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "-"));
                let missing = announced.find(|name| !trailers.iter().any(|t| t.eq_ignore_ascii_case(name)));
                assert_eq!(missing, None, "an announced trailer is missing");
            }
        }
        self.clear();
    }

    fn answer(&self, request: Request<()>, body: s3s::Body) -> Answer {
        self.runtime.block_on(async {
            // The server does so before it calls the service.
            if signature::check_s3(&request).is_err() {
                return Answer {
                    status: StatusCode::FORBIDDEN,
                    headers: Default::default(),
                    body: Bytes::new(),
                };
            }
            let request = follow(request.map(|()| body));
            let answer = self.service.call(request).await.expect("every request has an answer");
            let (parts, body) = answer.into_parts();
            let body = http_body_util::Limited::new(body, ANSWER_LIMIT).collect().await;
            let body = body.expect("an answer comes whole").to_bytes();
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    /// The content of the object, or of the upload's part.
    fn stored(&self, upload: Option<&str>) -> Vec<u8> {
        use std::io::Read;
        let mut content = Vec::new();
        let mut file = match upload {
            Some(id) => {
                let (_, parts) = self.store.upload(BUCKET, "k", id).expect("the upload is there");
                std::fs::File::open(&parts.first().expect("the part is there").path)
            }
            None => Ok(self.store.get(BUCKET, "k").expect("the object is there").1),
        }
        .expect("the content is there");
        file.read_to_end(&mut content).expect("the content can be read");
        content
    }

    /// Empties the store, and looks whether it has left files.
    fn clear(&self) {
        let store = &self.store;
        for (bucket, _) in store.buckets().expect("buckets can be listed") {
            for object in store.list(&bucket, "", Bound::Unbounded, 1000).expect("objects can be listed") {
                store.delete(&bucket, &object.key).expect("an object can be deleted");
            }
            for upload in store.uploads(&bucket, "").expect("uploads can be listed") {
                store.end_upload(&bucket, &upload.key, &upload.id, None).expect("an upload can end");
            }
            store.delete_bucket(&bucket).expect("an empty bucket can be deleted");
        }
        store.create_bucket(BUCKET).expect("a bucket can be created");
        let left = std::fs::read_dir(self.home.path().join(OBJECTS)).expect("the folder is there").count();
        assert_eq!(left, 0, "files are left that belong to no object");
    }
}

/// The request with its signature, which is returned, too; `None` for one that cannot be signed.
fn signed(mut request: Request<()>, payload: SignableBody<'_>) -> Option<(Request<()>, String)> {
    // aws-sigv4 takes a path, or a whole URL with one.
    if !request.uri().path().starts_with('/') {
        return None;
    }
    let headers = request.headers_mut();
    headers.remove(AUTHORIZATION);
    headers.remove("x-amz-date");
    headers.entry(HOST).or_insert(HeaderValue::from_static("127.0.0.1"));
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "fuzz").into();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .ok()?;
    let headers: Option<Vec<(&str, &str)>> =
        request.headers().iter().map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let uri = request.uri().to_string();
    let signable =
        SignableRequest::new(request.method().as_str(), uri, headers?.into_iter(), payload).ok()?;
    let (instructions, signature) = sign(signable, &params.into()).ok()?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Some((request, signature))
}

/// The rules that hold for every answer.
fn check(method: &Method, urls: bool, answer: &Answer, asked: &str) {
    let (status, body) = (answer.status, String::from_utf8_lossy(&answer.body));
    assert!(!status.is_server_error() || status == StatusCode::NOT_IMPLEMENTED, "{status} {body}\n{asked}");
    // hyper does not send a body where there must be none.
    if method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        return;
    }
    if let Some(length) = answer.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()) {
        assert_eq!(length.parse(), Ok(answer.body.len()), "{asked}");
    }
    let is_xml = answer.headers.get(CONTENT_TYPE).is_some_and(|t| t == "application/xml");
    if !is_xml || body.is_empty() {
        return;
    }
    let mut reader = quick_xml::Reader::from_str(&body);
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(e) => panic!("an answer is not XML: {e}\n{body}\n{asked}"),
        }
    }
    if urls {
        let odd = body.chars().find(|c| c.is_ascii_control() && !"\t\r\n".contains(*c));
        assert_eq!(odd, None, "an answer has characters that XML cannot carry\n{body}\n{asked}");
    }
}

/// A chunk's head: its size, and where its signature is, if it has one. The s3s crate reads up to
/// eight digits and ignores what is between them and the line's end or the semicolon.
fn chunk_head(line: &[u8]) -> Option<(usize, Option<std::ops::Range<usize>>)> {
    let digits = line.iter().take(8).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = usize::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
    const NAME: &[u8] = b";chunk-signature=";
    let at = line.iter().position(|byte| *byte == b';').filter(|at| line[*at..].starts_with(NAME));
    let signature =
        at.map(|at| at + NAME.len()..at + NAME.len() + 64).filter(|range| range.end <= line.len());
    Some((size, signature))
}

/// The line from `at` on without its end, and where the next one begins.
fn line(body: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let end = at + body.get(at..)?.iter().position(|byte| *byte == b'\n')?;
    let without = if end > at && body[end - 1] == b'\r' { end - 1 } else { end };
    Some((at..without, end + 1))
}

/// Puts good signatures where chunks and trailers have some.
fn sign_chunks(body: &mut [u8], stamp: &str, seed: String) {
    let date = stamp.get(..8).unwrap_or_default();
    let key = || v4::generate_signing_key(SECRET_ACCESS_KEY, SystemTime::now(), REGION, "s3");
    let scope = format!("{stamp}\n{date}/{REGION}/s3/aws4_request");
    let (mut previous, mut at) = (seed, 0);
    while let Some((head, data)) = line(body, at) {
        let Some((size, signature)) = chunk_head(&body[head.clone()]) else { return };
        let Some(content) = data.checked_add(size).and_then(|end| body.get(data..end)) else { return };
        if let Some(signature) = signature {
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{previous}\n{}\n{}",
                hex::encode(Sha256::digest(b"")),
                hex::encode(Sha256::digest(content))
            );
            previous = v4::calculate_signature(key(), text.as_bytes());
            body[head.start + signature.start..head.start + signature.end]
                .copy_from_slice(previous.as_bytes());
        }
        at = data + size;
        if size == 0 {
            break;
        }
        at += if body[at..].starts_with(b"\r\n") { 2 } else { return };
    }
    const NAME: &str = "x-amz-trailer-signature";
    let trailers = trailers(&body[at..]).unwrap_or_default();
    let mut others: Vec<_> = trailers.iter().filter(|(name, ..)| name != NAME).collect();
    others.sort();
    let canonical: String = others.iter().map(|(name, value, _)| format!("{name}:{value}\n")).collect();
    let text = format!(
        "AWS4-HMAC-SHA256-TRAILER\n{scope}\n{previous}\n{}",
        hex::encode(Sha256::digest(canonical.as_bytes()))
    );
    if let Some((_, value, from)) = trailers.iter().find(|(name, ..)| name == NAME)
        && value.len() == 64
    {
        let signature = v4::calculate_signature(key(), text.as_bytes());
        body[at + from..at + from + 64].copy_from_slice(signature.as_bytes());
    }
}

/// Names, values, and where the values begin; `None` when a line is no header.
fn trailers(text: &[u8]) -> Option<Vec<(String, String, usize)>> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let begin = at;
        at += line.len() + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let blanks = value.len() - value.trim_ascii_start().len();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        found.push((text(name)?.to_ascii_lowercase(), text(value.trim_ascii())?, begin + colon + 1 + blanks));
    }
    Some(found)
}

/// The content of an aws-chunked body and its trailers' names; `None` for one that is cut off or
/// malformed.
fn decoded(body: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let (head, data) = line(body, at)?;
        let (size, _) = chunk_head(&body[head])?;
        let chunk = body.get(data..data.checked_add(size)?)?;
        content.extend_from_slice(chunk);
        at = data + size;
        if size == 0 {
            let names = trailers(&body[at..])?.into_iter().map(|(name, ..)| name).collect();
            return Some((content, names));
        }
        at += body[at..].starts_with(b"\r\n").then_some(2)?;
    }
}
