//! The tokens of the pages of a listing.

/// The service has given the token of a page with that page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service answers with the same page again and again")]
pub struct RepeatedPage;

/// The token of the next page: the one of an answer, unless it is empty. `asked` is the token with
/// which the answer was asked for.
///
/// # Errors
/// When they are the same: the listing would never end.
pub fn next_page(asked: Option<&str>, token: Option<String>) -> Result<Option<String>, RepeatedPage> {
    match token.filter(|token| !token.is_empty()) {
        Some(next) if asked == Some(&next) => Err(RepeatedPage),
        next => Ok(next),
    }
}

/// The markers of the next page of a listing that S3 has cut, unless they are those with which this
/// one was asked for.
///
/// # Errors
/// When they are the same: the listing would never end.
pub fn next_markers<M: PartialEq>(asked: &M, next: M) -> Result<M, RepeatedPage> {
    if *asked == next { Err(RepeatedPage) } else { Ok(next) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_comes_again_is_an_error() {
        let next = |asked, token: Option<&str>| next_page(asked, token.map(str::to_owned));
        assert_eq!(next(None, Some("a")), Ok(Some("a".to_owned())));
        assert_eq!(next(Some("a"), Some("b")), Ok(Some("b".to_owned())));
        assert_eq!(next(Some("a"), Some("a")), Err(RepeatedPage));
        // The end.
        assert_eq!(next(Some("a"), Some("")), Ok(None));
        assert_eq!(next(Some("a"), None), Ok(None));
    }
}
