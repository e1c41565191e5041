//! Answers that come in pages.

use crate::aws::query::Answer;

/// One page of an answer.
pub trait AnswerPage: Answer {
    /// What is listed.
    type Item;

    /// The items, and the token of the next page.
    fn into_parts(self) -> (Vec<Self::Item>, Option<String>);
}
