//! The values of a request: their patterns and lengths, templates that are in S3, the stack that
//! is wanted, the client's token; and the errors that several operations have in common.

use std::collections::BTreeMap;
use std::io::Read;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use crate::access::operation::CloudFormation;
use crate::batch::resources::ChangeError;
use crate::batch::store::Store;
use crate::cloudformation::model::{Desired, OnFailure, Stack};
use crate::cloudformation::policy::StackPolicy;
use crate::cloudformation::request::{Request, constraint, invalid};
use crate::cloudformation::rows::{self, Page};
use crate::cloudformation::schema::Schemas;
use crate::cloudformation::template::{LONGEST_BODY, LONGEST_OBJECT, Template, TemplateError};
use crate::http::protocol::ApiError;
use crate::s3;

/// The most entries of a page. AWS has 1 MB of changes in one, and 100 entries of other kinds.
pub(super) const PAGE: usize = 100;

impl From<TemplateError> for ApiError {
    fn from(e: TemplateError) -> Self {
        invalid(e.0)
    }
}

pub(super) fn exists(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "AlreadyExistsException", message)
}

/// The words that the operations on one stack have for a stack that is not there.
pub(super) fn no_stack(name: &str) -> ApiError {
    invalid(format!("Stack [{name}] does not exist"))
}

/// The words that the operations which describe have for it.
pub(super) fn no_stack_with_id(name: &str) -> ApiError {
    invalid(format!("Stack with id {name} does not exist"))
}

pub(super) fn no_change_set(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "ChangeSetNotFound", format!("ChangeSet [{name}] does not exist"))
}

pub(super) fn no_token() -> ApiError {
    invalid("The specified next token is not valid.")
}

pub(super) fn page<T>(all: Vec<T>, token: Option<&str>, most: usize) -> Result<Page<T>, ApiError> {
    Page::of(all, token, most).ok_or_else(no_token)
}

/// API, CreateStack.StackName: up to 128 characters, `[a-zA-Z][-a-zA-Z0-9]*`.
pub(super) fn check_name(member: &str, name: &str) -> Result<(), ApiError> {
    let is_valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match is_valid {
        false => Err(constraint(
            member,
            &format!("'{name}'"),
            "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
        )),
        true if name.len() > 128 => {
            Err(constraint(member, &format!("'{name}'"), "Member must have length less than or equal to 128"))
        }
        true => Ok(()),
    }
}

/// API, ClientRequestToken: up to 128 characters, `[a-zA-Z0-9][-a-zA-Z0-9]*`.
pub(super) fn check_token(token: &str) -> Result<(), ApiError> {
    let is_valid = token.starts_with(|c: char| c.is_ascii_alphanumeric())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let rule = match (is_valid, token.len() > 128) {
        (false, _) => "Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*",
        (true, true) => "Member must have length less than or equal to 128",
        (true, false) => return Ok(()),
    };
    Err(constraint("clientRequestToken", &format!("'{token}'"), rule))
}

/// A text with at most so many characters.
pub(super) fn check_length(request: &Request, name: &str, most: usize) -> Result<(), ApiError> {
    match request.text(name).is_some_and(|text| text.chars().count() > most) {
        true => Err(invalid(format!(
            "1 validation error detected: {name} must have length less than or equal to {most}"
        ))),
        false => Ok(()),
    }
}

/// Checks what all requests have in common: an answer in XML can hold their texts, and the lengths
/// and patterns of the API's model.
pub(super) fn check_request(request: &Request) -> Result<(), ApiError> {
    if let Some(name) = request.unprintable() {
        return Err(invalid(format!(
            "1 validation error detected: {name} has a control character, or another one that XML 1.0 cannot hold"
        )));
    }
    request.text("ClientRequestToken").map_or(Ok(()), check_token)?;
    let lengths = [
        ("ClientToken", 128),
        ("TemplateURL", 5120),
        ("RoleARN", 2048),
        ("NextToken", 1024),
        ("ChangeSetName", 1600),
    ];
    lengths.into_iter().try_for_each(|(name, most)| check_length(request, name, most))?;
    if request.list("NotificationARNs").len() > 5 {
        return Err(invalid("1 validation error detected: NotificationARNs must have at most 5 members"));
    }
    match request.text("TimeoutInMinutes").map(str::parse::<u32>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => {
            Err(invalid("1 validation error detected: TimeoutInMinutes must be a number of at least 1"))
        }
    }
}

/// A template that is in S3, by its URL (API: TemplateURL).
pub(super) fn of_url(objects: &s3::Store, url: &str) -> Result<String, ApiError> {
    let wrong = || invalid("TemplateURL must be a supported URL.");
    // The local cluster's own endpoint has no TLS.
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
    let path = path.split('?').next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?.into_owned();
    // The bucket is in the host's name, or else the first part of the path.
    let (bucket, key) = match host.split_once(".s3.").or_else(|| host.split_once(".s3-")) {
        Some((bucket, _)) => (bucket.to_owned(), path),
        None => match path.split_once('/') {
            Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
            None => return Err(wrong()),
        },
    };
    let (object, mut file) = objects.get(&bucket, &key).map_err(|e| match e {
        s3::StoreError::NoSuchBucket | s3::StoreError::NoSuchKey => {
            invalid("S3 error: The specified key does not exist.")
        }
        other => ApiError::server(other.to_string()),
    })?;
    if object.size > LONGEST_OBJECT as u64 {
        return Err(invalid(format!("Template may not exceed {LONGEST_OBJECT} bytes in size.")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| invalid(format!("S3 error: {e}")))?;
    Ok(text)
}

/// A text in the request, or in an object that it names.
pub(super) fn body_or_url(
    request: &Request,
    objects: &s3::Store,
    name: &str,
    longest: usize,
) -> Result<Option<String>, ApiError> {
    let (body, url) = (format!("{name}Body"), format!("{name}URL"));
    match (request.text(&body), request.text(&url)) {
        (Some(_), Some(_)) => Err(invalid(format!("Either {body} or {url} must be specified, not both."))),
        (Some(text), None) if text.len() > longest => Err(constraint(
            &format!("{}{}", name[..1].to_lowercase(), &body[1..]),
            "at the request",
            &format!("Member must have length less than or equal to {longest}"),
        )),
        (Some(text), None) => Ok(Some(text.to_owned())),
        (None, Some(url)) => of_url(objects, url).map(Some),
        (None, None) => Ok(None),
    }
}

/// The stack that a request wants.
pub(super) fn desired(
    request: &Request,
    objects: &s3::Store,
    previous: Option<&Desired>,
) -> Result<(Template, Desired), ApiError> {
    let given = body_or_url(request, objects, "Template", LONGEST_BODY)?;
    let text = match (given, request.flag("UsePreviousTemplate")?, previous) {
        (Some(text), _, _) => text,
        (None, Some(true), Some(previous)) => previous.template.clone(),
        (None, ..) => return Err(invalid("Either Template URL or Template Body must be specified.")),
    };
    let template = Template::parse(&text, Schemas::built_in())?;
    let parameters = parameters(request, &template, previous)?;
    let mut capabilities = request.list("Capabilities");
    if let Some((needed, _)) = template.capabilities() {
        let is_given = capabilities
            .iter()
            .any(|given| given == needed || (needed == "CAPABILITY_IAM" && given == "CAPABILITY_NAMED_IAM"));
        if !is_given {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "InsufficientCapabilitiesException",
                format!("Requires capabilities : [{needed}]"),
            ));
        }
    }
    capabilities.dedup();
    let mut tags = BTreeMap::new();
    for tag in request.fields("Tags") {
        let (key, value) = (tag.get("Key").unwrap_or(""), tag.get("Value").unwrap_or(""));
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid("Tags: a key has 1 to 128 characters, a value at most 256"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("aws: prefixed tag key names are not allowed for external use."));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    // API, UpdateStack.Tags: "If you don't specify this parameter, CloudFormation doesn't modify
    // the stack's tags."
    if let (true, Some(previous)) = (tags.is_empty(), previous) {
        tags.clone_from(&previous.tags);
    }
    if tags.len() > 50 {
        return Err(invalid("Tags: a stack has at most 50 tags"));
    }
    let desired = Desired {
        template: text,
        parameters,
        tags,
        capabilities,
        notification_arns: request.list("NotificationARNs"),
        role_arn: request
            .owned("RoleARN")
            .or_else(|| previous.and_then(|previous| previous.role_arn.clone())),
    };
    Ok((template, desired))
}

/// The values of the template's parameters.
pub(super) fn parameters(
    request: &Request,
    template: &Template,
    previous: Option<&Desired>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut values = BTreeMap::new();
    let mut unknown = Vec::new();
    for parameter in request.fields("Parameters") {
        let Some(key) = parameter.get("ParameterKey") else {
            return Err(invalid("Parameters: ParameterKey is required"));
        };
        if !template.parameters.contains_key(key) {
            unknown.push(key.to_owned());
            continue;
        }
        let is_kept = parameter.get("UsePreviousValue").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        let value = match (is_kept, parameter.get("ParameterValue")) {
            (true, Some(_)) => {
                return Err(invalid(format!(
                    "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty \
                     value for a parameter"
                )));
            }
            (true, None) => match previous.and_then(|previous| previous.parameters.get(key)) {
                Some(value) => value.clone(),
                None => continue,
            },
            (false, Some(value)) => value.to_owned(),
            (false, None) => continue,
        };
        values.insert(key.to_owned(), value);
    }
    if !unknown.is_empty() {
        return Err(invalid(format!("Parameters: [{}] do not exist in the template", unknown.join(", "))));
    }
    let mut missing = Vec::new();
    for (name, parameter) in &template.parameters {
        if !values.contains_key(name) {
            match &parameter.default {
                Some(value) => drop(values.insert(name.clone(), value.clone())),
                None => missing.push(name.as_str()),
            }
        }
        if let Some(value) = values.get(name) {
            parameter.check(name, value)?;
        }
    }
    match missing.as_slice() {
        [] => Ok(values),
        names => Err(invalid(format!("Parameters: [{}] must have values", names.join(", ")))),
    }
}

/// The meaning of a client's token: a repeated request has the same one.
pub(super) fn fingerprint(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    hex::encode(digest.finalize())
}

/// The token of a request, with the operation and what the request is.
pub(super) fn token(
    request: &Request,
    operation: CloudFormation,
    parts: &[&str],
) -> Option<(String, String, String)> {
    let token = request.owned("ClientRequestToken")?;
    Some((operation.name().to_owned(), token, fingerprint(parts)))
}

/// Whether a request with this token has been made before.
pub(super) fn is_repeated(stack: &Stack, token: Option<&(String, String, String)>) -> Result<bool, ApiError> {
    let Some((operation, token, print)) = token else { return Ok(false) };
    let same = stack
        .operations
        .iter()
        .filter_map(|record| record.request.as_ref())
        .find(|(_, known, _)| known == token);
    match same {
        None => Ok(false),
        Some((of, _, known)) if of == operation && known == print => Ok(true),
        Some(_) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "TokenAlreadyExistsException",
            format!("A client request token already exists: {token}"),
        )),
    }
}

pub(super) fn on_failure(text: Option<&str>) -> Result<Option<OnFailure>, ApiError> {
    match text {
        None => Ok(None),
        Some("ROLLBACK") => Ok(Some(OnFailure::Rollback)),
        Some("DELETE") => Ok(Some(OnFailure::Delete)),
        Some("DO_NOTHING") => Ok(Some(OnFailure::DoNothing)),
        Some(other) => Err(constraint(
            "onFailure",
            &format!("'{other}'"),
            "Member must satisfy enum value set: [ROLLBACK, DELETE, DO_NOTHING]",
        )),
    }
}

pub(super) fn existing(store: &Store, name: &str, error: fn(&str) -> ApiError) -> Result<Stack, ChangeError> {
    rows::stack(store.connection(), name)?.ok_or_else(|| error(name).into())
}

pub(super) fn check_policy(policy: Option<String>) -> Result<Option<String>, ApiError> {
    match &policy {
        Some(text) => StackPolicy::parse(text).map(|_| policy.clone()).map_err(invalid),
        None => Ok(None),
    }
}

pub(super) fn check_can_be_updated(stack: &Stack) -> Result<(), ApiError> {
    match stack.status.can_be_updated() {
        true => Ok(()),
        false => Err(invalid(format!(
            "Stack:{} is in {} state and can not be updated.",
            stack.id,
            stack.status.as_str()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), ApiError> {
        check_request(&Request::new(&[(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn texts_of_a_request_have_the_patterns_of_the_model() {
        let long = |length: usize| "x".repeat(length);
        for (name, value) in [
            ("ClientRequestToken", "a-1"),
            ("ClientRequestToken", &long(128)),
            ("TimeoutInMinutes", "1"),
            ("ClientToken", "any text"),
            ("TemplateBody", "a\r\n\tb"),
        ] {
            assert!(check(name, value).is_ok(), "{name} {value}");
        }
        for (name, value, words) in [
            ("ClientRequestToken", "-a", "[a-zA-Z0-9][-a-zA-Z0-9]*"),
            ("ClientRequestToken", "a_b", "[a-zA-Z0-9][-a-zA-Z0-9]*"),
            ("ClientRequestToken", "a b", "'clientRequestToken' failed to satisfy constraint"),
            ("ClientRequestToken", &long(129), "less than or equal to 128"),
            ("ClientToken", &long(129), "less than or equal to 128"),
            ("TemplateURL", &long(5121), "less than or equal to 5120"),
            ("TimeoutInMinutes", "0", "at least 1"),
            ("TimeoutInMinutes", "soon", "at least 1"),
            ("Tags.member.1.Value", "a\u{1}", "Tags.member.1.Value has a control character"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(error.code == "ValidationError" && error.message.contains(words), "{}", error.message);
        }
    }

    #[test]
    fn a_template_is_read_from_a_url_of_s3_only() {
        let home = tempfile::tempdir().unwrap();
        let objects = s3::Store::open(home.path(), &mut Vec::new()).unwrap();
        for (url, words) in [
            ("file:///etc/passwd", "TemplateURL must be a supported URL."),
            ("ftp://lab.s3.amazonaws.com/t.json", "TemplateURL must be a supported URL."),
            ("lab/t.json", "TemplateURL must be a supported URL."),
            ("https://lab.s3.amazonaws.com/t.json", "S3 error: The specified key does not exist."),
            ("http://127.0.0.1:4000/lab/t.json", "S3 error: The specified key does not exist."),
        ] {
            assert_eq!(of_url(&objects, url).unwrap_err().message, words, "{url}");
        }
    }
}
