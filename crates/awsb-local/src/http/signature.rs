//! Signature Version 4, checked (IAM User Guide, "Create a signed AWS API request").

use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{Request, StatusCode};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::protocol::ApiError;
use crate::access::secrets::{OF_AN_ENDED_JOB, attempt_of};
use crate::access::{Credentials, Keys, Principal};
use awsb_model::ADVICE;

/// The characters that are percent-encoded: all but the unreserved ones (RFC 3986).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same in a path, whose slashes stay.
pub const RESERVED_IN_PATH: AsciiSet = RESERVED.remove(b'/');
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a request's time may be from ours (IAM User Guide: "within 15 minutes").
const SKEW_MS: i64 = 15 * 60 * 1000;
/// The longest that a presigned URL is valid (S3 API Reference, "Authenticating Requests: Using
/// Query Parameters": "the maximum value is 604800 (seven days)").
const LONGEST_PRESIGNED_SECONDS: u64 = 604_800;

/// The scope of a signature's credential ("credential scope" in the IAM User Guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialScope {
    access_key_id: String,
    date: String,
    region: String,
    /// The service's signing name.
    pub service: String,
}

impl CredentialScope {
    /// `AKID/20261121/us-east-1/batch/aws4_request`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|p| !p.is_empty()).map(str::to_owned);
        let scope = Self { access_key_id: next()?, date: next()?, region: next()?, service: next()? };
        (next()? == "aws4_request" && parts.next().is_none()).then_some(scope)
    }

    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

fn missing() -> ApiError {
    ApiError::refused("MissingAuthenticationTokenException", "Missing Authentication Token")
}

fn incomplete(what: &str) -> ApiError {
    ApiError::refused("IncompleteSignatureException", format!("The signature: {what}"))
}

/// The scope that a request claims, in its `Authorization` header or, as a presigned URL does, in
/// its query. Nothing is verified yet.
///
/// # Errors
/// When the request is not signed with Version 4.
pub fn scope<B>(request: &Request<B>) -> Result<CredentialScope, ApiError> {
    if let Some(header) = request.headers().get(http::header::AUTHORIZATION) {
        let fields = Fields::parse(header.to_str().map_err(|_| incomplete("not text"))?)?;
        return CredentialScope::parse(fields.credential)
            .ok_or_else(|| incomplete("Credential is malformed"));
    }
    // AWS CLI version 1 presigns like this by default.
    if query(request).any(|(name, _)| name == "AWSAccessKeyId") {
        return Err(incomplete("Signature Version 2 is not supported; use AWS4-HMAC-SHA256 (s3v4)"));
    }
    let credential = query(request).find(|(k, _)| k == "X-Amz-Credential").ok_or_else(missing)?.1;
    CredentialScope::parse(&credential).ok_or_else(|| incomplete("X-Amz-Credential is malformed"))
}

/// Checks an S3 request before the `s3s` crate verifies its signature: the signature is of Version
/// 4 (the crate takes Version 2 as well), in the header or in the query, and covers the host and
/// every header that S3 gives a meaning to.
///
/// # Errors
/// When it does not hold.
pub fn check_s3<B>(request: &Request<B>) -> Result<(), ApiError> {
    let denied = |why: &str| ApiError::refused("AccessDenied", why);
    if query(request).any(|(k, _)| k == "Signature" || k == "AWSAccessKeyId") {
        return Err(denied("Signature Version 2 is not supported; use AWS4-HMAC-SHA256"));
    }
    // Browser uploads (POST policies) carry their signature in the form.
    let content_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if content_type.is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")) {
        return Err(denied("form uploads are not supported"));
    }
    let mut headers = request.headers().get_all(http::header::AUTHORIZATION).iter();
    let signed = match (headers.next(), headers.next()) {
        (Some(header), None) => {
            let fields = Fields::parse(header.to_str().map_err(|_| incomplete("not text"))?)?;
            fields.signed_headers.to_owned()
        }
        (Some(_), Some(_)) => return Err(denied("only one Authorization header is allowed")),
        (None, _) => {
            let get = |name: &str| query(request).find(|(k, _)| k == name).map(|(_, v)| v);
            if get("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) || get("X-Amz-Signature").is_none() {
                return Err(denied("the request is not signed with AWS4-HMAC-SHA256"));
            }
            check_expires(query(request).filter(|(k, _)| k == "X-Amz-Expires").map(|(_, v)| v))?;
            get("X-Amz-SignedHeaders").unwrap_or_default()
        }
    };
    let is_signed = |header: &str| signed.split(';').any(|name| name == header);
    if !is_signed("host") {
        return Err(denied("the host header must be signed"));
    }
    // S3 API Reference, "Authenticating Requests: Using the Authorization Header": "any x-amz-*
    // headers that you plan to include in your request" have to be signed. Otherwise a presigned
    // URL could be used to copy any object, with `x-amz-copy-source`.
    let unsigned = request.headers().keys().map(http::HeaderName::as_str);
    let unsigned: Vec<&str> =
        unsigned.filter(|name| name.starts_with("x-amz-") && !is_signed(name)).collect();
    if !unsigned.is_empty() {
        let names = unsigned.join(", ");
        return Err(denied(&format!(
            "There were headers present in the request which were not signed: {names}"
        )));
    }
    Ok(())
}

/// For how long a presigned URL says that it is valid.
fn check_expires(values: impl Iterator<Item = String>) -> Result<(), ApiError> {
    for value in values {
        let wrong = match value.parse::<u64>() {
            Ok(seconds) if seconds <= LONGEST_PRESIGNED_SECONDS => continue,
            Ok(_) => {
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
                 than 604800 seconds"
            }
            Err(_) => "X-Amz-Expires should be a number",
        };
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError", wrong));
    }
    Ok(())
}

fn query<B>(request: &Request<B>) -> impl Iterator<Item = (String, String)> {
    pairs(request.uri().query().unwrap_or(""))
}

/// The first value of a parameter in a URI's query, as a form has it.
pub fn parameter(uri: &http::Uri, name: &str) -> Option<String> {
    pairs(&uri.query().unwrap_or("").replace('+', "%20"))
        .find(|(given, _)| given == name)
        .map(|(_, value)| value)
}

/// The parameters of a request of the query protocol: of its form, and of its query.
pub fn parameters(parts: &Parts, body: &[u8]) -> Vec<(String, String)> {
    // In a form a blank may be written as a plus sign.
    let form = String::from_utf8_lossy(body).replace('+', "%20");
    pairs(&form).chain(pairs(parts.uri.query().unwrap_or(""))).collect()
}

/// The decoded names and values of a query.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|p| !p.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        (decoded(name), decoded(value))
    })
}

/// The fields of an `Authorization` header.
struct Fields<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Fields<'a> {
    fn parse(header: &'a str) -> Result<Self, ApiError> {
        let rest = header
            .strip_prefix(ALGORITHM)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| incomplete("only AWS4-HMAC-SHA256 is supported"))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in rest.split(',') {
            let (name, value) = field.trim().split_once('=').ok_or_else(|| incomplete("malformed"))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("unknown field")),
            };
            if slot.replace(value).is_some() {
                return Err(incomplete("a field is given twice"));
            }
        }
        match (credential, signed_headers, signature) {
            (Some(credential), Some(signed_headers), Some(signature)) => {
                Ok(Self { credential, signed_headers, signature })
            }
            _ => Err(incomplete("Credential, SignedHeaders and Signature are required")),
        }
    }
}

/// A signature that is well-formed, in time, and by the right access key; whether it is good
/// depends on the body.
#[derive(Debug)]
pub struct SignedRequest {
    /// Whose key it names; true when it is verified.
    pub principal: Principal,
    credentials: Credentials,
    scope: CredentialScope,
    stamp: String,
    time: SystemTime,
    signed_headers: Vec<String>,
    signature: String,
}

impl SignedRequest {
    /// Reads the claim of a request to a JSON service; these have no presigned URLs.
    ///
    /// # Errors
    /// When it cannot be good, whatever the body.
    pub fn parse(parts: &Parts, keys: &Keys, now_ms: i64) -> Result<Self, ApiError> {
        let header = parts.headers.get(http::header::AUTHORIZATION).ok_or_else(missing)?;
        let fields = Fields::parse(header.to_str().map_err(|_| incomplete("not text"))?)?;
        let scope =
            CredentialScope::parse(fields.credential).ok_or_else(|| incomplete("Credential is malformed"))?;
        let (principal, credentials) = keys.find(&scope.access_key_id).ok_or_else(|| {
            let why = "The security token included in the request is invalid";
            match attempt_of(&scope.access_key_id) {
                Some(_) => ApiError::refused(
                    "UnrecognizedClientException",
                    format!("{why}: {OF_AN_ENDED_JOB}{ADVICE}submit the job again; `blocal env` prints your own key"),
                ),
                None => ApiError::refused("UnrecognizedClientException", format!("{why}.")),
            }
        })?;
        let stamp = parts
            .headers
            .get("x-amz-date")
            .and_then(|v| v.to_str().ok())
            .ok_or_else(|| incomplete("X-Amz-Date is missing"))?;
        let at = DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
            .and_then(|t| t.to_zoned(TimeZone::UTC))
            .map_err(|_| incomplete("X-Amz-Date is malformed"))?
            .timestamp()
            .as_millisecond();
        if (now_ms - at).abs() > SKEW_MS {
            return Err(ApiError::refused(
                "InvalidSignatureException",
                format!(
                    "Signature expired or not yet current: {stamp} is more than 15 minutes from the server's time"
                ),
            ));
        }
        if !stamp.starts_with(&scope.date) || scope.date.len() != 8 {
            return Err(incomplete("the credential's date is not the request's"));
        }
        let signed_headers: Vec<String> = fields.signed_headers.split(';').map(str::to_owned).collect();
        // The headers that decide where a request goes and what it means have to be signed.
        for needed in ["host", "x-amz-date", "x-amz-target"] {
            if parts.headers.contains_key(needed) && !signed_headers.iter().any(|h| h == needed) {
                return Err(incomplete(&format!("{needed} must be signed")));
            }
        }
        if !parts.headers.contains_key("host") {
            return Err(incomplete("a Host header is required"));
        }
        Ok(Self {
            principal,
            credentials,
            scope,
            stamp: stamp.to_owned(),
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0)),
            signed_headers,
            signature: fields.signature.to_owned(),
        })
    }

    /// Whether the signature is the one that the key gives.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&self, parts: &Parts, body: &[u8]) -> Result<(), ApiError> {
        let request = canonical_request(parts, body, &self.signed_headers);
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            self.stamp,
            self.scope.text(),
            hex::encode(Sha256::digest(request.as_bytes()))
        );
        let key = aws_sigv4::sign::v4::generate_signing_key(
            &self.credentials.secret_access_key,
            self.time,
            &self.scope.region,
            &self.scope.service,
        );
        let good = aws_sigv4::sign::v4::calculate_signature(key, to_sign.as_bytes());
        if bool::from(good.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Ok(());
        }
        Err(ApiError::refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS \
             Secret Access Key and signing method. Consult the service documentation for details.",
        ))
    }
}

fn canonical_request(parts: &Parts, body: &[u8], signed_headers: &[String]) -> String {
    // Services other than S3 encode each segment of the path that is sent once more.
    let path = utf8_percent_encode(parts.uri.path(), &RESERVED_IN_PATH);
    let encoded = |text: String| utf8_percent_encode(&text, &RESERVED).to_string();
    let mut query: Vec<(String, String)> =
        pairs(parts.uri.query().unwrap_or("")).map(|(k, v)| (encoded(k), encoded(v))).collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut headers = String::new();
    for name in signed_headers {
        let values: Vec<String> = parts
            .headers
            .get_all(name.as_str())
            .iter()
            .map(|v| String::from_utf8_lossy(v.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{}",
        parts.method,
        query.join("&"),
        signed_headers.join(";"),
        hex::encode(Sha256::digest(body))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::KeyMaterial;

    fn keys(owner: &str) -> Keys {
        let owner = Credentials {
            access_key_id: owner.into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        };
        Keys::new(KeyMaterial { owner, jobs: "secret".into() })
    }

    // The example of the IAM User Guide and of the AWS Signature Version 4 test suite
    // ("get-vanilla").
    fn vanilla() -> (Parts, Keys, i64) {
        let request = Request::get("/")
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            )
            .body(())
            .unwrap();
        let keys = keys("AKIDEXAMPLE");
        (request.into_parts().0, keys, 1_440_938_160_000)
    }

    #[test]
    fn awss_own_example_is_good() {
        let (parts, keys, now) = vanilla();
        let claim = SignedRequest::parse(&parts, &keys, now).unwrap();
        claim.verify(&parts, b"").unwrap();
        assert_eq!(claim.principal, Principal::Owner);
    }

    #[test]
    fn any_change_is_refused() {
        let (parts, keys, now) = vanilla();
        let code = |parts: &Parts, body: &[u8], now: i64| {
            SignedRequest::parse(parts, &keys, now)
                .and_then(|claim| claim.verify(parts, body))
                .unwrap_err()
                .code
        };
        assert_eq!(code(&parts, b"x", now), "InvalidSignatureException");
        assert_eq!(code(&parts, b"", now + SKEW_MS + 1), "InvalidSignatureException");
        assert_eq!(code(&parts, b"", now - SKEW_MS - 1), "InvalidSignatureException");
        let mut other = parts.clone();
        other.uri = "/?x=1".parse().unwrap();
        assert_eq!(code(&other, b"", now), "InvalidSignatureException");
        let mut other = parts.clone();
        other.headers.insert("host", "evil.example".parse().unwrap());
        assert_eq!(code(&other, b"", now), "InvalidSignatureException");
        let mut other = parts.clone();
        other.headers.insert("x-amz-target", "Logs_20140328.DeleteLogGroup".parse().unwrap());
        assert_eq!(code(&other, b"", now), "IncompleteSignatureException");
        let mut other = parts.clone();
        other.headers.remove("authorization");
        assert_eq!(code(&other, b"", now), "MissingAuthenticationTokenException");
        let stranger = self::keys("OTHER");
        assert_eq!(
            SignedRequest::parse(&parts, &stranger, now).unwrap_err().code,
            "UnrecognizedClientException"
        );
    }

    #[test]
    fn version_2_and_unsigned_s3_requests_are_refused() {
        let get = |uri: &str, authorization: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.body(()).unwrap()
        };
        let v4 =
            "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0";
        assert!(check_s3(&get("/b/k", Some(v4))).is_ok());
        assert!(check_s3(&get("/b/k?AWSAccessKeyId=A&Signature=x&Expires=1", Some(v4))).is_err());
        assert!(check_s3(&get("/b/k?Signatur%65=x", Some(v4))).is_err());
        assert!(scope(&get("/b/k", Some("AWS A:x"))).is_err());
        assert!(scope(&get("/b/k", None)).is_err());
        assert!(check_s3(&get("/b/k", Some(&v4.replace("host", "range")))).is_err());
    }

    #[test]
    fn what_s3_gives_a_meaning_to_must_be_signed() {
        let check = |signed: &str, headers: &[&str], presigned: bool| {
            let credential = "A/20150830/us-east-1/s3/aws4_request";
            let mut request = if presigned {
                let query =
                    format!("X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Signature=0");
                Request::put(format!("/b/k?{query}&X-Amz-SignedHeaders={}", signed.replace(';', "%3B")))
            } else {
                let fields = format!("Credential={credential},SignedHeaders={signed},Signature=0");
                Request::put("/b/k").header("authorization", format!("{ALGORITHM} {fields}"))
            };
            for name in headers {
                request = request.header(*name, "value");
            }
            check_s3(&request.body(()).unwrap())
        };
        for presigned in [false, true] {
            let copy = ["Host", "X-Amz-Copy-Source", "x-amzn-trace-id", "amz-sdk-request"];
            check("host;x-amz-copy-source", &copy, presigned).unwrap();
            for signed in
                ["host", "host;x-amz-copy", "host;x-amz-copy-source-range", "host;X-Amz-Copy-Source"]
            {
                let refused = check(signed, &copy, presigned).unwrap_err();
                assert_eq!((refused.status, refused.code), (StatusCode::FORBIDDEN, "AccessDenied"));
                let words =
                    "There were headers present in the request which were not signed: x-amz-copy-source";
                assert_eq!(refused.message, words);
            }
            let meta = check("host;x-amz-date", &["x-amz-date", "x-amz-meta-a", "x-amz-acl"], presigned);
            assert!(meta.unwrap_err().message.ends_with("x-amz-meta-a, x-amz-acl"));
        }
    }

    #[test]
    fn presigned_urls_are_valid_for_a_week_at_most() {
        let check = |expires: &str| {
            let uri = format!(
                "/b/k?X-Amz-Algorithm={ALGORITHM}&X-Amz-Signature=0&X-Amz-SignedHeaders=host&X-Amz-Expires={expires}"
            );
            check_s3(&Request::get(uri).body(()).unwrap()).map_err(|e| (e.status, e.code))
        };
        for good in ["1", "604800"] {
            check(good).unwrap();
        }
        for bad in ["604801", "-1", "", "x", "99999999999999999999", "1&X-Amz-Expires=604801"] {
            let refused = (StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError");
            assert_eq!(check(bad), Err(refused), "{bad}");
        }
    }
}
