//! The pages of a listing. The paginators of the SDK end without an error where a token comes
//! again, and what was listed by then would pass for all.

use std::error::Error;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error_text::Call;
use super::page_token::{RepeatedPage, next_page};
use super::session::{Session, explain};
use crate::ui::Failure;

/// An answer that is a page of a listing.
pub trait Page {
    /// The token of the next page, which the last one lacks.
    fn token(&self) -> Option<&str>;
}

macro_rules! pages_with_next_token {
    ($($of:ty),+ $(,)?) => {
        $(impl Page for $of {
            fn token(&self) -> Option<&str> {
                self.next_token()
            }
        })+
    };
}

pages_with_next_token!(
    aws_sdk_batch::operation::describe_compute_environments::DescribeComputeEnvironmentsOutput,
    aws_sdk_batch::operation::describe_job_definitions::DescribeJobDefinitionsOutput,
    aws_sdk_batch::operation::describe_job_queues::DescribeJobQueuesOutput,
    aws_sdk_batch::operation::list_consumable_resources::ListConsumableResourcesOutput,
    aws_sdk_batch::operation::list_jobs_by_consumable_resource::ListJobsByConsumableResourceOutput,
    aws_sdk_cloudformation::operation::describe_stacks::DescribeStacksOutput,
    aws_sdk_cloudformation::operation::list_stack_resources::ListStackResourcesOutput,
    aws_sdk_cloudwatchlogs::operation::describe_log_streams::DescribeLogStreamsOutput,
    aws_sdk_ecr::operation::describe_images::DescribeImagesOutput,
    aws_sdk_ecs::operation::list_container_instances::ListContainerInstancesOutput,
);

impl Page for ListObjectsV2Output {
    fn token(&self) -> Option<&str> {
        // Some servers send a token with the last page, too.
        self.next_continuation_token().filter(|_| self.is_truncated() != Some(false))
    }
}

impl Page for ListPartsOutput {
    fn token(&self) -> Option<&str> {
        // The last page has a marker, too.
        self.next_part_number_marker().filter(|_| self.is_truncated() == Some(true))
    }
}

/// Why a page could not be had.
#[derive(Debug)]
pub enum PageError<E> {
    /// The call failed.
    Call(Box<SdkError<E, HttpResponse>>),
    /// The listing would never end.
    Repeated(RepeatedPage),
}

impl<E: ProvideErrorMetadata + Error + 'static> PageError<E> {
    /// The error of the call, where it failed.
    pub fn of_call(&self) -> Option<&SdkError<E, HttpResponse>> {
        match self {
            PageError::Call(error) => Some(error),
            PageError::Repeated(_) => None,
        }
    }

    /// The service's error code.
    pub fn code(&self) -> Option<&str> {
        self.of_call().and_then(ProvideErrorMetadata::code)
    }

    /// The failure that this error is for the user.
    pub fn explain<'c>(&self, session: &Session, call: impl Into<Call<'c>>) -> Failure {
        let call = call.into();
        match self {
            PageError::Call(error) => explain(session, call, error),
            PageError::Repeated(repeated) => Failure::failed(format!("{}: {repeated}", call.doing())),
        }
    }
}

/// The pages of a listing, one after the other. `call` asks for the page with a token.
#[derive(Debug)]
pub struct Pages<C> {
    call: C,
    token: Option<String>,
    has_ended: bool,
}

impl<C> Pages<C> {
    /// The pages for which this call asks.
    pub fn new<F>(call: C) -> Self
    where
        C: Fn(Option<String>) -> F,
    {
        Self { call, token: None, has_ended: false }
    }

    /// The next page; `None` after the last one, and after an error.
    pub async fn next<P, E, F>(&mut self) -> Option<Result<P, PageError<E>>>
    where
        C: Fn(Option<String>) -> F,
        F: Future<Output = Result<P, SdkError<E, HttpResponse>>>,
        P: Page,
    {
        if self.has_ended {
            return None;
        }
        let answer = (self.call)(self.token.clone()).await;
        let page = answer.map_err(|e| PageError::Call(Box::new(e))).and_then(|page| {
            let next = next_page(self.token.as_deref(), page.token().map(str::to_owned));
            self.token = next.map_err(PageError::Repeated)?;
            Ok(page)
        });
        self.has_ended = page.is_err() || self.token.is_none();
        Some(page)
    }
}
