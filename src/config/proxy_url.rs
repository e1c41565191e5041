//! The URL of a proxy, as settings and variables give it.

use awsb_model::Invalid;

/// The word of the old tools for no proxy.
const NONE: &str = "NONE";

/// Checks that a text is the URL of a proxy, or says that there is none.
///
/// # Errors
/// The error says what the text has to be. It does not contain the text, which may have a password.
pub fn check(text: &str) -> Result<(), Invalid> {
    let good = is_none(text)
        || with_scheme(text).parse::<http::Uri>().is_ok_and(|u| {
            matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|h| !h.is_empty())
        });
    if good {
        return Ok(());
    }
    Err(Invalid::because(format!("has to be a URL such as http://proxy.example.org:8080, or {NONE}")))
}

/// Whether a text says that there is no proxy.
pub fn is_none(text: &str) -> bool {
    text.eq_ignore_ascii_case(NONE)
}

/// The URL with its scheme, which may be left out.
pub fn with_scheme(url: &str) -> String {
    if url.contains("://") || is_none(url) { url.to_owned() } else { format!("http://{url}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_http_urls_or_none() {
        for good in ["http://p:8080", "https://user:secret@p", "p.example.org:3128", "NONE", "none"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["socks5://p:1080", "http://", "two words"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
