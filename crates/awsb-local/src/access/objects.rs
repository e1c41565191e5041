//! Which objects of S3 a container's key reaches. Pure.
//!
//! All of them are in the built-in bucket, below the prefix of the cluster `local`. A key is read
//! once, into an [`ObjectKind`], which decides.

use super::operation::{Rule, S3};
use crate::constants::{BUCKET, PREFIX};

/// The kind of object that a key of the bucket names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectKind {
    /// `outputs/JOB/…`: results, with the jobs whose folder it is in, the outermost first: an array
    /// (or a multi-node job) and its child (or node).
    Outputs(Vec<String>),
    /// `bundles/SHA-256.tar.gz` or `.tar`: a bundle or inputs, with the digest that its content has
    /// to have.
    Bundle([u8; 32]),
    /// `once/SHA-256.json`: the record of a key of `--once`.
    Once,
    /// `nodes/JOB/ATTEMPT`: the key by which the nodes of a job reach each other, with the job.
    Nodes(String),
    /// Anything else.
    Other,
}

impl ObjectKind {
    /// Reads a key, or a prefix of keys.
    pub fn of(bucket: &str, key: &str) -> Self {
        let below = (bucket == BUCKET).then(|| key.strip_prefix(PREFIX)?.strip_prefix('/')).flatten();
        let Some((folder, rest)) = below.and_then(|key| key.split_once('/')) else { return Self::Other };
        match folder {
            "outputs" => outputs(rest).map_or(Self::Other, Self::Outputs),
            "bundles" => bundle(rest).map_or(Self::Other, Self::Bundle),
            "once" => match rest.strip_suffix(".json").and_then(digest) {
                Some(_) => Self::Once,
                None => Self::Other,
            },
            "nodes" => match rest.split_once('/') {
                Some((job, attempt)) if is_segment(job) && is_segment(attempt) => Self::Nodes(job.to_owned()),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

/// The jobs whose folder a path below `outputs/` is in. Their IDs end with a slash, else `JOB`
/// would be `JOB2`, too.
fn outputs(path: &str) -> Option<Vec<String>> {
    let (job, rest) = path.split_once('/').filter(|(job, _)| is_segment(job))?;
    // The launcher's form of an ID: `JOB/INDEX/` for an array's child, `JOB/node-INDEX/` for a
    // node.
    let part = rest.split_once('/').map(|(part, _)| match part.strip_prefix("node-") {
        Some(index) => format!("{job}#{index}"),
        None => format!("{job}:{part}"),
    });
    Some([job.to_owned()].into_iter().chain(part).collect())
}

fn bundle(name: &str) -> Option<[u8; 32]> {
    digest(name.strip_suffix(".tar.gz").or_else(|| name.strip_suffix(".tar"))?)
}

/// A SHA-256 in lower-case hexadecimal digits.
fn digest(digits: &str) -> Option<[u8; 32]> {
    let is_digest = digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())?;
    }
    is_digest.then_some(digest)
}

/// The place of an `s3://` URL.
pub fn kind_of_url(url: &str) -> ObjectKind {
    match url.strip_prefix("s3://").and_then(|url| url.split_once('/')) {
        Some((bucket, key)) => ObjectKind::of(bucket, key),
        None => ObjectKind::Other,
    }
}

/// The objects that a job in a container reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    /// The job whose results it writes: a node's are its whole job's, as nodes trust each other.
    pub job: String,
    /// The job without a child's or a node's index.
    pub parent: String,
    /// Its bundle, and its inputs where they are apart.
    pub bundles: Vec<[u8; 32]>,
}

/// A request for an object, or for a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub operation: S3,
    /// The kind of object that its key, or the prefix of a listing, names.
    pub kind: ObjectKind,
    /// On which condition it is to be answered.
    pub condition: Condition,
}

/// A request's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// None that matters here.
    None,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match` alone.
    Same,
}

/// The decision on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// It is, if what is written has this SHA-256.
    WithDigest([u8; 32]),
    /// It is, if the container may read the results of one of these jobs.
    IfReadable(Vec<String>),
    /// It is, and what is made belongs to the job.
    AsItsOwn,
    /// It is, if a job of the lineage has made the object.
    IfMade,
    /// It is not, for this reason.
    Refused(&'static str),
}

const NOT_ITS_OWN: &str = "this object is none of its own, nor a result of a job that it may read";
const ONLY_IF_ABSENT: &str =
    "objects in bundles/ and once/ can only be made where there is none (If-None-Match: *)";

/// Decides whether a job in a container may make a request.
pub fn verdict(request: Request, own: &Reachable) -> Verdict {
    use S3::{AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, PutObject, UploadPart};
    let (rule, operation) = (request.operation.rule(), request.operation);
    match (rule, request.kind) {
        (Rule::Read | Rule::List | Rule::Write, ObjectKind::Outputs(jobs)) if jobs.contains(&own.job) => {
            Verdict::Allowed
        }
        (Rule::Read, ObjectKind::Outputs(jobs)) => Verdict::IfReadable(jobs),
        (Rule::List, ObjectKind::Outputs(jobs)) if operation != S3::ListMultipartUploads => {
            Verdict::IfReadable(jobs)
        }
        (Rule::Read | Rule::Write | Rule::NodesKey, ObjectKind::Nodes(job)) if job == own.parent => {
            Verdict::Allowed
        }
        (Rule::Read, ObjectKind::Bundle(digest)) if own.bundles.contains(&digest) => Verdict::Allowed,
        (Rule::Write, ObjectKind::Bundle(digest)) => match operation {
            PutObject | CompleteMultipartUpload if request.condition == Condition::Absent => {
                Verdict::WithDigest(digest)
            }
            PutObject | CompleteMultipartUpload => Verdict::Refused(ONLY_IF_ABSENT),
            // Only the job that has begun an upload knows its ID: uploads of others cannot be
            // listed.
            CreateMultipartUpload | UploadPart | AbortMultipartUpload => Verdict::Allowed,
            _ => Verdict::Refused(NOT_ITS_OWN),
        },
        (Rule::Read, ObjectKind::Once) => Verdict::IfMade,
        (Rule::Write, ObjectKind::Once) => match (operation, request.condition) {
            (PutObject, Condition::Absent) => Verdict::AsItsOwn,
            // `bsub --once` writes the IDs of its jobs into the record that it has made.
            (PutObject, Condition::Same) => Verdict::IfMade,
            _ => Verdict::Refused(ONLY_IF_ABSENT),
        },
        _ => Verdict::Refused(NOT_ITS_OWN),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";

    fn own() -> Reachable {
        let bundles = vec![digest(DIGEST).unwrap()];
        Reachable { job: "me:3".into(), parent: "me".into(), bundles }
    }

    fn asked(operation: S3, key: &str, if_absent: bool) -> Verdict {
        on(operation, key, if if_absent { Condition::Absent } else { Condition::None })
    }

    fn on(operation: S3, key: &str, condition: Condition) -> Verdict {
        verdict(Request { operation, kind: ObjectKind::of(BUCKET, key), condition }, &own())
    }

    #[test]
    fn keys_name_places() {
        let place = |key: &str| ObjectKind::of(BUCKET, key);
        let outputs = |jobs: &[&str]| ObjectKind::Outputs(jobs.iter().map(|job| (*job).to_owned()).collect());
        assert_eq!(place("awsb/outputs/j/"), outputs(&["j"]));
        assert_eq!(place("awsb/outputs/j/r.txt"), outputs(&["j"]));
        assert_eq!(place("awsb/outputs/j/3/r.txt"), outputs(&["j", "j:3"]));
        assert_eq!(place("awsb/outputs/j/node-1/r.txt"), outputs(&["j", "j#1"]));
        assert_eq!(
            place(&format!("awsb/bundles/{DIGEST}.tar.gz")),
            ObjectKind::Bundle(digest(DIGEST).unwrap())
        );
        assert_eq!(place(&format!("awsb/bundles/{DIGEST}.tar")), ObjectKind::Bundle(digest(DIGEST).unwrap()));
        assert_eq!(place(&format!("awsb/once/{DIGEST}.json")), ObjectKind::Once);
        assert_eq!(place("awsb/nodes/j/1"), ObjectKind::Nodes("j".into()));
        for other in [
            "",
            "awsb",
            "awsb/",
            "awsb/outputs/",
            "awsb/outputs/j",
            "awsb/outputs//r",
            "awsb2/outputs/j/r",
            "outputs/j/r",
            "/awsb/outputs/j/r",
            "awsb//outputs/j/r",
            "awsb/Outputs/j/r",
            "awsb/bundles/x.tar.gz",
            &format!("awsb/bundles/{}.tar.gz", DIGEST.to_uppercase()),
            &format!("awsb/bundles/x/{DIGEST}.tar.gz"),
            &format!("awsb/bundles/{DIGEST}.zip"),
            "awsb/once/x.json",
            "awsb/nodes/j",
            "awsb/nodes/j/",
            "awsb/nodes/j/1/2",
        ] {
            assert_eq!(place(other), ObjectKind::Other, "{other}");
        }
        assert_eq!(ObjectKind::of("other", "awsb/outputs/j/r"), ObjectKind::Other);
        assert_eq!(kind_of_url("s3://awsb-local/awsb/nodes/j/1"), ObjectKind::Nodes("j".into()));
        assert_eq!(kind_of_url("s3://awsb-local"), ObjectKind::Other);
        assert_eq!(kind_of_url("H4sIAAAA"), ObjectKind::Other);
    }

    #[test]
    fn its_own_results_are_read_and_written_and_those_of_some_jobs_read() {
        for operation in S3::ALL {
            let own = asked(*operation, "awsb/outputs/me/3/r", false);
            let open = matches!(operation.rule(), Rule::Read | Rule::List | Rule::Write);
            assert_eq!(own == Verdict::Allowed, open, "{operation:?}");
        }
        let others = vec!["you".to_owned(), "you:r".to_owned()];
        let read = |operation| asked(operation, "awsb/outputs/you/r/x", false);
        assert_eq!(read(S3::GetObject), Verdict::IfReadable(others.clone()));
        assert_eq!(read(S3::ListObjectsV2), Verdict::IfReadable(others));
        for operation in
            [S3::PutObject, S3::DeleteObject, S3::ListMultipartUploads, S3::CreateMultipartUpload]
        {
            assert!(matches!(read(operation), Verdict::Refused(_)), "{operation:?}");
        }
        // A sibling's objects are read only if it is a dependency; so are those of the whole array.
        assert_eq!(
            asked(S3::GetObject, "awsb/outputs/me/4/r", false),
            Verdict::IfReadable(vec!["me".to_owned(), "me:4".to_owned()])
        );
        assert!(matches!(asked(S3::PutObject, "awsb/outputs/me/r", false), Verdict::Refused(_)));
        assert!(matches!(asked(S3::PutObject, "awsb/outputs/me/33/r", false), Verdict::Refused(_)));
    }

    #[test]
    fn bundles_and_records_are_made_where_there_are_none() {
        let bundle = format!("awsb/bundles/{DIGEST}.tar.gz");
        let other = format!("awsb/bundles/{}.tar", DIGEST.replace('f', "e"));
        assert_eq!(asked(S3::GetObject, &bundle, false), Verdict::Allowed);
        assert!(matches!(asked(S3::GetObject, &other, false), Verdict::Refused(_)));
        for operation in [S3::PutObject, S3::CompleteMultipartUpload] {
            assert_eq!(
                asked(operation, &bundle, true),
                Verdict::WithDigest(digest(DIGEST).unwrap()),
                "{operation:?}"
            );
            assert_eq!(asked(operation, &bundle, false), Verdict::Refused(ONLY_IF_ABSENT), "{operation:?}");
        }
        assert!(matches!(asked(S3::ListParts, &bundle, false), Verdict::Refused(_)));
        assert!(matches!(asked(S3::DeleteObject, &bundle, false), Verdict::Refused(_)));
        let once = format!("awsb/once/{DIGEST}.json");
        assert_eq!(asked(S3::PutObject, &once, true), Verdict::AsItsOwn);
        assert_eq!(asked(S3::PutObject, &once, false), Verdict::Refused(ONLY_IF_ABSENT));
        assert_eq!(on(S3::PutObject, &once, Condition::Same), Verdict::IfMade);
        assert_eq!(asked(S3::GetObject, &once, false), Verdict::IfMade);
        assert_eq!(on(S3::PutObject, &bundle, Condition::Same), Verdict::Refused(ONLY_IF_ABSENT));
        for operation in [S3::DeleteObject, S3::CreateMultipartUpload] {
            assert!(matches!(asked(operation, &once, true), Verdict::Refused(_)), "{operation:?}");
        }
    }

    #[test]
    fn the_nodes_key_is_the_jobs_own() {
        for operation in [S3::GetObject, S3::HeadObject, S3::PutObject, S3::DeleteObject] {
            assert_eq!(asked(operation, "awsb/nodes/me/1", false), Verdict::Allowed, "{operation:?}");
            assert!(
                matches!(asked(operation, "awsb/nodes/you/1", false), Verdict::Refused(_)),
                "{operation:?}"
            );
        }
        assert!(matches!(asked(S3::ListObjectsV2, "awsb/nodes/", false), Verdict::Refused(_)));
    }

    proptest! {
        /// No key other than the four kinds is written.
        #[test]
        fn nothing_else_is_written(key in "(awsb/)?(outputs|bundles|once|nodes|x)?/?[a-z0-9:#./-]{0,12}(/[a-z0-9.]{0,6}){0,3}") {
            for operation in S3::ALL.iter().filter(|o| matches!(o.rule(), Rule::Write | Rule::NodesKey)) {
                let verdict = asked(*operation, &key, true);
                let is_its_own = key.starts_with("awsb/outputs/me/3/") || key.starts_with("awsb/nodes/me/");
                prop_assert!(is_its_own || matches!(verdict, Verdict::Refused(_)), "{operation:?} {key}: {verdict:?}");
            }
        }
    }
}
