//! S3 requests as no SDK makes them, and names that XML cannot carry.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, EncodingType, ObjectIdentifier};
use awsb_testkit::local::{Access, Cluster};
use awsb_testkit::{Sandbox, story};
use sha2::{Digest, Sha256};

const BUCKET: &str = "awsb-local";
const REGION: &str = "us-east-1";

/// A client that signs by hand: requests, and the chunks of their bodies.
struct Signer<'a> {
    access: &'a Access,
    time: SystemTime,
    /// `20261121T000000Z`.
    stamp: String,
}

impl<'a> Signer<'a> {
    fn new(access: &'a Access) -> Self {
        let now = jiff::Timestamp::now();
        Self { access, time: now.into(), stamp: now.strftime("%Y%m%dT%H%M%SZ").to_string() }
    }

    fn host(&self) -> &str {
        self.access.endpoint_url.strip_prefix("http://").unwrap()
    }

    fn scope(&self) -> String {
        format!("{}/{REGION}/s3/aws4_request", &self.stamp[..8])
    }

    fn signature(&self, to_sign: &str) -> String {
        use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
        let key = generate_signing_key(&self.access.secret_access_key, self.time, REGION, "s3");
        calculate_signature(key, to_sign.as_bytes())
    }

    fn of_request(&self, canonical: &str) -> String {
        let hash = hex::encode(Sha256::digest(canonical));
        self.signature(&format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", self.stamp, self.scope()))
    }

    /// The head of a request with these signed headers, without its end; and its signature.
    fn head(&self, method: &str, path: &str, payload: &str, headers: &[(&str, &str)]) -> (String, String) {
        let mut headers = headers.to_vec();
        let common = [("host", self.host()), ("x-amz-content-sha256", payload), ("x-amz-date", &self.stamp)];
        headers.extend(common);
        headers.sort_unstable();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines = |end: &str| headers.iter().map(|(n, v)| format!("{n}:{v}{end}")).collect::<String>();
        let canonical = format!("{method}\n{path}\n\n{}\n{names}\n{payload}", lines("\n"));
        let signature = self.of_request(&canonical);
        let credential = format!("{}/{}", self.access.access_key_id, self.scope());
        let text = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\n{}authorization: AWS4-HMAC-SHA256 \
             Credential={credential}, SignedHeaders={names}, Signature={signature}\r\n",
            lines("\r\n")
        );
        (text, signature)
    }

    /// The head of a request to a presigned URL, of which only the host is signed.
    fn presigned(&self, method: &str, path: &str, expires: &str) -> String {
        let credential = format!("{}/{}", self.access.access_key_id, self.scope()).replace('/', "%2F");
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}&X-Amz-Expires={expires}\
             &X-Amz-SignedHeaders=host",
            self.stamp
        );
        let host = self.host();
        let signature =
            self.of_request(&format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"));
        format!(
            "{method} {path}?{query}&X-Amz-Signature={signature} HTTP/1.1\r\nconnection: close\r\nhost: {host}\r\n"
        )
    }

    /// Sends a head and a body; returns the status and the whole answer.
    fn send(&self, head: &str, more: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        let request = format!("{head}{more}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    /// An aws-chunked body whose chunks are signed, and its trailers, if there are any.
    fn chunks(&self, seed: &str, chunks: &[&str], trailers: &[&str]) -> String {
        let mut previous = seed.to_owned();
        let mut body = String::new();
        for chunk in chunks {
            let (empty, hash) = (hex::encode(Sha256::digest("")), hex::encode(Sha256::digest(chunk)));
            previous = self.signature(&format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{empty}\n{hash}",
                self.stamp,
                self.scope()
            ));
            body.push_str(&format!("{:x};chunk-signature={previous}\r\n{chunk}", chunk.len()));
            body.push_str(if chunk.is_empty() { "" } else { "\r\n" });
        }
        if !trailers.is_empty() {
            let canonical: String = trailers.iter().map(|line| format!("{line}\n")).collect();
            let hash = hex::encode(Sha256::digest(canonical));
            let signature = self.signature(&format!(
                "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{hash}",
                self.stamp,
                self.scope()
            ));
            body.push_str(&trailers.join("\r\n"));
            body.push_str(&format!("\r\nx-amz-trailer-signature:{signature}\r\n"));
        }
        // Behind the final chunk there is an empty line.
        if chunks.last().is_some_and(|last| last.is_empty()) { format!("{body}\r\n") } else { body }
    }
}

async fn put(s3: &Client, key: &str, content: &'static [u8]) {
    s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(content)).send().await.unwrap();
}

/// The content of an object, if there is one.
async fn get(s3: &Client, key: &str) -> Option<String> {
    let object = s3.get_object().bucket(BUCKET).key(key).send().await.ok()?;
    Some(String::from_utf8(object.body.collect().await.unwrap().to_vec()).unwrap())
}

#[story]
async fn headers_that_are_not_signed_mean_nothing() {
    let cluster = Cluster::started();
    let (access, s3) = (cluster.access(), cluster.s3());
    let signer = Signer::new(&access);
    put(&s3, "secret", b"SECRET").await;
    let words = "There were headers present in the request which were not signed";
    for presigned in [true, false] {
        let head = || match presigned {
            true => signer.presigned("PUT", "/awsb-local/k", "60"),
            false => signer.head("PUT", "/awsb-local/k", "UNSIGNED-PAYLOAD", &[]).0,
        };
        for header in
            ["x-amz-copy-source: /awsb-local/secret\r\n", "X-Amz-Meta-A: 1\r\n", "x-amz-tagging: a=b\r\n"]
        {
            let (status, answer) = signer.send(&head(), header, "mine");
            assert_eq!(status, 403, "{header} {answer}");
            assert!(answer.contains("<Code>AccessDenied</Code>") && answer.contains(words), "{answer}");
            assert_eq!(get(&s3, "k").await, None);
        }
        let (status, answer) = signer.send(&head(), "range: bytes=0-1\r\n", "mine");
        assert_eq!(status, 200, "{answer}");
        assert_eq!(get(&s3, "k").await.as_deref(), Some("mine"));
        s3.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    }
    // Signed, the header is what it always was.
    let copy = [("x-amz-copy-source", "/awsb-local/secret")];
    let (head, _) = signer.head("PUT", "/awsb-local/k", "UNSIGNED-PAYLOAD", &copy);
    assert_eq!(signer.send(&head, "", "").0, 200);
    assert_eq!(get(&s3, "k").await.as_deref(), Some("SECRET"));
}

#[story]
async fn a_presigned_url_is_good_for_seven_days_at_most() {
    let cluster = Cluster::started();
    let access = cluster.access();
    let signer = Signer::new(&access);
    put(&cluster.s3(), "k", b"content").await;
    let get = |expires: &str| signer.send(&signer.presigned("GET", "/awsb-local/k", expires), "", "");
    assert_eq!(get("604800").0, 200);
    for expires in ["604801", "4294967295", "-1", "week"] {
        let (status, answer) = get(expires);
        assert_eq!(status, 400, "{expires} {answer}");
        assert!(answer.contains("AuthorizationQueryParametersError"), "{expires} {answer}");
    }
}

/// CRC-32 of `abcdef`, as S3 writes it.
const ABCDEF_CRC32: &str = "x-amz-checksum-crc32:S4457w==";

#[story]
async fn a_chunked_body_that_is_not_whole_never_becomes_an_object() {
    let cluster = Cluster::started();
    let (access, s3) = (cluster.access(), cluster.s3());
    let signer = Signer::new(&access);
    let sum = ABCDEF_CRC32;
    let whole = format!("6\r\nabcdef\r\n0\r\n{sum}\r\n\r\n");
    // Unsigned chunks: the declared length, what the trailers are announced as, the body, and how
    // it ends.
    for (length, announced, body, expected) in [
        ("6", "x-amz-checksum-crc32", whole.as_str(), "200"),
        ("6", "x-amz-checksum-crc32", &format!("3\r\nabc\r\n3\r\ndef\r\n0\r\n{sum}\r\n\r\n"), "200"),
        ("6", "x-amz-checksum-crc32", "3\r\nabc\r\n", "IncompleteBody"),
        ("6", "x-amz-checksum-crc32", "6\r\nabcdef\r\n", "IncompleteBody"),
        ("6", "x-amz-checksum-crc32", "6\r\nabcdef\r\n0\r\n\r\n", "MalformedTrailerError"),
        ("6", "x-amz-checksum-sha256", &whole, "MalformedTrailerError"),
        ("6", "x-amz-checksum-crc32,x-amz-checksum-sha1", &whole, "MalformedTrailerError"),
        ("5", "x-amz-checksum-crc32", &whole, "IncompleteBody"),
        ("7", "x-amz-checksum-crc32", &whole, "IncompleteBody"),
        ("0", "x-amz-checksum-crc32", &whole, "IncompleteBody"),
        ("6", "x-amz-checksum-crc32", &whole.replace("S445", "S446"), "BadDigest"),
        ("6", "x-amz-checksum-crc32", &whole.replace("6\r\n", "000000006\r\n"), "InvalidRequest"),
    ] {
        let payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
        let headers = [("x-amz-decoded-content-length", length), ("x-amz-trailer", announced)];
        let (head, _) = signer.head("PUT", "/awsb-local/k", payload, &headers);
        let (status, answer) = signer.send(&head, "", body);
        let what = format!("{length} {announced} {body:?}: {answer}");
        if expected == "200" {
            assert_eq!(status, 200, "{what}");
            assert_eq!(get(&s3, "k").await.as_deref(), Some("abcdef"), "{what}");
            s3.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
        } else {
            assert!(status == 400 && answer.contains(expected), "{what}");
            assert_eq!(get(&s3, "k").await, None, "{what}");
        }
    }
    // Signed ones, with trailers and without.
    for (length, chunks, trailers, expected) in [
        ("6", ["abcdef", ""].as_slice(), None, "200"),
        ("6", &["abc", "def", ""], None, "200"),
        ("6", &["abc"], None, "IncompleteBody"),
        ("6", &["abcdef"], None, "IncompleteBody"),
        ("7", &["abcdef", ""], None, "IncompleteBody"),
        ("5", &["abcdef", ""], None, "IncompleteBody"),
        ("6", &["abcdef", ""], Some([ABCDEF_CRC32].as_slice()), "200"),
        ("6", &["abcdef", ""], Some(&[]), "MalformedTrailerError"),
        ("6", &["abcdef", ""], Some(&["x-amz-checksum-sha1:AA=="]), "MalformedTrailerError"),
    ] {
        let mut headers = vec![("x-amz-decoded-content-length", length)];
        headers.extend(trailers.map(|_| ("x-amz-trailer", "x-amz-checksum-crc32")));
        let payload = match trailers {
            None => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Some(_) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        };
        let (head, seed) = signer.head("PUT", "/awsb-local/k", payload, &headers);
        let body = signer.chunks(&seed, chunks, trailers.unwrap_or_default());
        let (status, answer) = signer.send(&head, "", &body);
        let what = format!("{length} {chunks:?} {trailers:?}: {answer}");
        if expected == "200" {
            assert_eq!(status, 200, "{what}");
            assert_eq!(get(&s3, "k").await.as_deref(), Some("abcdef"), "{what}");
            s3.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
        } else {
            assert!(status == 400 && answer.contains(expected), "{what}");
            assert_eq!(get(&s3, "k").await, None, "{what}");
        }
    }
    // Nothing of all that is left.
    assert_eq!(std::fs::read_dir(cluster.home().join("objects")).unwrap().count(), 0);
}

#[story]
async fn an_upload_belongs_to_its_bucket_and_key() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    s3.create_bucket().bucket("other").send().await.unwrap();
    put(&s3, "source", b"content").await;
    let upload = s3.create_multipart_upload().bucket(BUCKET).key("k").send().await.unwrap();
    let id = upload.upload_id().unwrap();
    for (bucket, key) in [(BUCKET, "other"), ("other", "k"), (BUCKET, "k/")] {
        let part = s3.upload_part().bucket(bucket).key(key).upload_id(id).part_number(1);
        let e = part.body(ByteStream::from_static(b"x")).send().await.unwrap_err();
        assert_eq!(e.code(), Some("NoSuchUpload"), "{bucket}/{key}");
        let copy = s3.upload_part_copy().bucket(bucket).key(key).upload_id(id).part_number(1);
        let e = copy.copy_source("awsb-local/source").send().await.unwrap_err();
        assert_eq!(e.code(), Some("NoSuchUpload"), "{bucket}/{key}");
        let abort = s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await;
        assert_eq!(abort.unwrap_err().code(), Some("NoSuchUpload"), "{bucket}/{key}");
    }
    let copy = s3.upload_part_copy().bucket(BUCKET).key("k").upload_id(id).part_number(1);
    copy.copy_source("awsb-local/source").send().await.unwrap();
    s3.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(id).send().await.unwrap();
    assert_eq!(std::fs::read_dir(cluster.home().join("objects")).unwrap().count(), 1);
}

#[story]
async fn one_request_deletes_a_thousand_objects_at_most() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    put(&s3, "0", b"content").await;
    let delete = |count: usize| {
        let object = |n: usize| ObjectIdentifier::builder().key(n.to_string()).build().unwrap();
        let objects = Delete::builder().set_objects(Some((0..count).map(object).collect())).build().unwrap();
        s3.delete_objects().bucket(BUCKET).delete(objects).send()
    };
    assert_eq!(delete(1001).await.unwrap_err().code(), Some("MalformedXML"));
    assert_eq!(get(&s3, "0").await.as_deref(), Some("content"));
    assert_eq!(delete(1000).await.unwrap().deleted().len(), 1000);
    assert_eq!(get(&s3, "0").await, None);
}

/// Keys in their order that XML carries not at all, not unchanged, or only when they are escaped.
const ODD: [&str; 6] = ["o/a\u{1}", "o/b\n\r", "o/c +%20", "o/d<&>", "o/e\u{ffff}", "o/\u{e9}\u{1f600}"];

/// The text as Python's `urllib.parse.unquote_plus` decodes it, and so boto3.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

#[story]
async fn names_that_xml_cannot_carry_are_listed_encoded() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    for key in ODD {
        put(&s3, key, b"1").await;
        let upload = s3.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        let id = upload.upload_id().unwrap();
        let part = s3.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(1);
        let part = part.body(ByteStream::from_static(b"whole")).send().await.unwrap();
        let parts = s3.list_parts().bucket(BUCKET).key(key).upload_id(id).send().await.unwrap();
        assert_eq!(parts.parts().len(), 1, "{key:?}");
        let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = s3.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
        complete.multipart_upload(parts).send().await.unwrap();
        assert_eq!(get(&s3, key).await.as_deref(), Some("whole"), "{key:?}");
        s3.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    }
    // A page each, so that what leads to the next one is encoded, too.
    let list = s3.list_objects_v2().bucket(BUCKET).prefix("o/").encoding_type(EncodingType::Url);
    let mut pages = list.max_keys(1).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert_eq!(page.encoding_type(), Some(&EncodingType::Url));
        assert_eq!(page.prefix(), Some("o/"));
        found.extend(page.contents().iter().map(|object| decoded(object.key().unwrap())));
    }
    assert_eq!(found, ODD);
    let mut marker = String::new();
    for key in ODD {
        let list = s3.list_objects().bucket(BUCKET).delimiter("\u{1}/").max_keys(1).marker(&marker);
        let page = list.encoding_type(EncodingType::Url).send().await.unwrap();
        assert_eq!(page.delimiter().map(decoded).as_deref(), Some("\u{1}/"));
        assert_eq!(page.marker().map(decoded).unwrap_or_default(), marker);
        assert_eq!(decoded(page.contents()[0].key().unwrap()), key);
        marker = page.next_marker().map(decoded).unwrap_or_default();
    }
    let folders = s3.list_objects_v2().bucket(BUCKET).delimiter("\u{1}").encoding_type(EncodingType::Url);
    let folders = folders.start_after("o/ ").send().await.unwrap();
    assert_eq!(folders.common_prefixes()[0].prefix().map(decoded).as_deref(), Some("o/a\u{1}"));
    assert_eq!(folders.start_after().map(decoded).as_deref(), Some("o/ "));
    let (mut key_marker, mut id_marker, mut found) = (None, None, Vec::new());
    loop {
        let list = s3.list_multipart_uploads().bucket(BUCKET).encoding_type(EncodingType::Url).max_uploads(1);
        let page =
            list.set_key_marker(key_marker).set_upload_id_marker(id_marker.clone()).send().await.unwrap();
        found.extend(page.uploads().iter().map(|upload| decoded(upload.key().unwrap())));
        key_marker = page.next_key_marker().map(decoded);
        id_marker = page.next_upload_id_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(found, ODD);
    let other = s3.list_objects_v2().bucket(BUCKET).encoding_type(EncodingType::from("base64")).send().await;
    assert_eq!(other.unwrap_err().code(), Some("InvalidArgument"));
}

#[story]
fn boto3_and_the_aws_cli_list_them() {
    let sandbox = Sandbox::with_aws();
    let program = "import boto3, urllib.parse\n\
         s3 = boto3.client('s3')\n\
         keys = ['o/a\\x01', 'o/b\\n\\r', 'o/c +%20', 'o/d<&>']\n\
         for key in keys:\n\
         \x20   s3.put_object(Bucket='awsb-local', Key=key, Body=b'1')\n\
         pages = s3.get_paginator('list_objects_v2').paginate(Bucket='awsb-local', Prefix='o/', PaginationConfig={'PageSize': 1})\n\
         assert [o['Key'] for page in pages for o in page['Contents']] == keys\n\
         assert [o['Key'] for o in s3.list_objects(Bucket='awsb-local', Prefix='o/')['Contents']] == keys\n\
         uploads = [s3.create_multipart_upload(Bucket='awsb-local', Key=key)['UploadId'] for key in keys]\n\
         listed = s3.list_multipart_uploads(Bucket='awsb-local', EncodingType='url')['Uploads']\n\
         assert [urllib.parse.unquote_plus(u['Key']) for u in listed] == keys\n\
         print(len(uploads))\n";
    assert_eq!(sandbox.run("python", ["-c", program]).ok().stdout, "4\n");
    let listed = sandbox.run("aws", ["s3", "ls", "--recursive", "s3://awsb-local/o/"]).ok().stdout;
    assert!(listed.contains("o/c +%20") && listed.contains("o/d<&>"), "{listed}");
    sandbox.run("aws", ["s3", "rm", "--recursive", "--only-show-errors", "s3://awsb-local/o/"]).ok();
    // It says by its exit code that nothing is left.
    assert_eq!(sandbox.run("aws", ["s3", "ls", "--recursive", "s3://awsb-local/o/"]).code(), 1);
}
