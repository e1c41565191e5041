//! The headers of objects: how requests give them, and how answers show them.

use s3s::dto::{Checksum, ChecksumType, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::content::internal;
use super::names::given;
use super::store::{Condition, Object as Stored, StoreError};

/// The stored headers of an object.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// The header of this name.
    pub content_type: Option<String>,
    /// The header of this name.
    pub content_encoding: Option<String>,
    /// The header of this name.
    pub content_disposition: Option<String>,
    /// The header of this name.
    pub content_language: Option<String>,
    /// The header of this name.
    pub cache_control: Option<String>,
    /// The headers that begin with `x-amz-meta-`.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// The checksum of this name.
    pub crc32: Option<String>,
    /// The checksum of this name.
    pub crc32c: Option<String>,
    /// The checksum of this name.
    pub crc64nvme: Option<String>,
    /// The checksum of this name.
    pub sha1: Option<String>,
    /// The checksum of this name.
    pub sha256: Option<String>,
    /// The job in a container that has made a record of `--once`.
    pub maker: Option<String>,
}

/// The job in a container that has made an object, if that was recorded.
pub fn maker(object: &Stored) -> Option<String> {
    Headers::of(object).maker
}

impl Headers {
    /// The headers of an object.
    pub fn of(object: &Stored) -> Self {
        serde_json::from_str(&object.headers).unwrap_or_default()
    }

    /// As JSON.
    pub fn text(&self) -> S3Result<String> {
        serde_json::to_string(self).map_err(internal)
    }

    /// With the checksums and the maker of another object.
    pub fn with_rest_of(self, other: Self) -> Self {
        Self {
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            content_disposition: self.content_disposition,
            content_language: self.content_language,
            cache_control: self.cache_control,
            metadata: self.metadata,
            ..other
        }
    }

    /// With the checksums of the content.
    pub fn with_checksum(mut self, checksum: &Checksum) -> Self {
        self.crc32 = checksum.checksum_crc32.clone();
        self.crc32c = checksum.checksum_crc32c.clone();
        self.crc64nvme = checksum.checksum_crc64nvme.clone();
        self.sha1 = checksum.checksum_sha1.clone();
        self.sha256 = checksum.checksum_sha256.clone();
        self
    }
}

/// The stored headers that a request gives: PutObject, CreateMultipartUpload and CopyObject have
/// the same fields.
macro_rules! headers_of {
    ($input:ident) => {
        $crate::s3::headers::Headers {
            content_type: $input.content_type.map(|t| t.to_string()),
            content_encoding: $crate::s3::headers::content_encoding($input.content_encoding),
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            metadata: $input.metadata.unwrap_or_default().into_iter().collect(),
            ..Default::default()
        }
    };
}

/// The checksums that a request gives, or that were computed: several types of the API have the
/// same fields.
macro_rules! checksums_of {
    ($kind:ident, $($given:ident).+, $($field:tt)*) => {
        $kind {
            checksum_crc32: $($given).+.checksum_crc32,
            checksum_crc32c: $($given).+.checksum_crc32c,
            checksum_crc64nvme: $($given).+.checksum_crc64nvme,
            checksum_sha1: $($given).+.checksum_sha1,
            checksum_sha256: $($given).+.checksum_sha256,
            $($field)*
            ..Default::default()
        }
    };
}

/// An object as GetObject and HeadObject show it, with more fields; with its checksums if
/// `$checked`.
macro_rules! object_output {
    ($kind:ident, $object:expr, $checked:expr, $($field:tt)*) => {{
        let (object, checked) = ($object, $checked);
        let headers = $crate::s3::headers::Headers::of(&object);
        let checksum = |value: Option<String>| value.filter(|_| checked);
        $kind {
            accept_ranges: Some("bytes".to_owned()),
            content_type: headers.content_type.and_then(|t| t.parse().ok()),
            content_encoding: headers.content_encoding,
            content_disposition: headers.content_disposition,
            content_language: headers.content_language,
            cache_control: headers.cache_control,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some($crate::s3::headers::time(object.modified)),
            metadata: Some(headers.metadata.into_iter().collect()),
            checksum_type: headers.crc32.as_deref().filter(|_| checked).and_then($crate::s3::headers::checksum_type),
            checksum_crc32: checksum(headers.crc32),
            checksum_crc32c: checksum(headers.crc32c),
            checksum_crc64nvme: checksum(headers.crc64nvme),
            checksum_sha1: checksum(headers.sha1),
            checksum_sha256: checksum(headers.sha256),
            $($field)*
            ..Default::default()
        }
    }};
}

pub(super) use {checksums_of, headers_of, object_output};

/// The content's encoding without the transfer's: "Amazon S3 stores the resulting object without
/// the `aws-chunked` value in the `content-encoding` header" (S3 API Reference, `sigv4-streaming`).
pub fn content_encoding(sent: Option<String>) -> Option<String> {
    let sent = sent?;
    let kept = sent.split(',').map(str::trim).filter(|e| !e.eq_ignore_ascii_case("aws-chunked"));
    given(Some(kept.collect::<Vec<_>>().join(",")))
}

/// A time of the API.
pub fn time(ms: i64) -> Timestamp {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    Timestamp::from(at)
}

/// The type of a checksum that is not of the whole content.
pub fn checksum_type(checksum: &str) -> Option<ChecksumType> {
    checksum.contains('-').then(|| ChecksumType::from_static(ChecksumType::COMPOSITE))
}

/// The condition of a write.
pub fn condition(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::Any), None) => Ok(Condition::Matches(None)),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(Some(etag.into_value()))),
        // S3 User Guide, "Conditional writes": If-None-Match takes `*` only.
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented"
        )),
    }
}

/// Checks `If-Match` and `If-None-Match` of a request that reads (RFC 9110, 13.2.2).
pub fn check_readable(
    object: &Stored,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let same = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if if_match.is_some_and(|c| !same(c)) {
        return Err(StoreError::PreconditionFailed.into());
    }
    if if_none_match.is_some_and(same) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transfers_encoding_is_not_the_contents() {
        let stored = |sent: &str| content_encoding(Some(sent.to_owned()));
        assert_eq!(stored("gzip"), Some("gzip".to_owned()));
        assert_eq!(stored("aws-chunked,gzip"), Some("gzip".to_owned()));
        assert_eq!(stored("gzip, AWS-chunked, br"), Some("gzip,br".to_owned()));
        assert_eq!(stored("aws-chunked"), None);
        assert_eq!(stored(""), None);
    }
}
