//! The filters and lists of EC2's requests.

use http::StatusCode;

use crate::http::protocol::ApiError;

/// An error of EC2.
pub(super) fn refused(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, message)
}

/// The values of a list: `InstanceId.1`, `InstanceId.2`, …
pub(super) fn listed<'a>(parameters: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let is_of = |parameter: &str| {
        let number = parameter.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    parameters.iter().filter(|(n, _)| is_of(n)).map(|(_, value)| value.as_str()).collect()
}

/// Whether every filter lets these facts through: one of its values matches (EC2 User Guide, "List
/// and filter").
pub(super) fn passes(
    parameters: &[(String, String)],
    facts: &[(&'static str, String)],
) -> Result<bool, ApiError> {
    for (parameter, name) in parameters {
        let Some(filter) = parameter.strip_suffix(".Name").filter(|filter| filter.starts_with("Filter."))
        else {
            continue;
        };
        let Some((_, fact)) = facts.iter().find(|(known, _)| known == name) else {
            return Err(refused("InvalidParameterValue", format!("The filter '{name}' is invalid")));
        };
        let values = listed(parameters, &format!("{filter}.Value"));
        if !values.iter().any(|pattern| matches(pattern.as_bytes(), fact.as_bytes())) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a text is such as a pattern, in which `*` stands for anything and `?` for one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The position of the last `*`, and how far it has matched: a mismatch behind it makes it match
    // more.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    (p, t) = (at + 1, reach + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [("c5.*", "c5.large"), ("*", ""), ("l?cal", "local"), ("*o*l", "local")] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("c5.*", "c5a.large"), ("", "local"), ("l?l", "local"), ("*x", "local")] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
