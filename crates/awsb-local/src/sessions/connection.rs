//! The connection of a session: a request is upgraded, and then carries frames.

use std::any::Any;
use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;

use super::registry::{Begun, Place, Sessions, Task};
use super::{container, forward, frames, host};
use awsb_model::session_frames::{Frame, PATH, PROTOCOL, TOKEN_HEADER};

/// Holds the place of a connection as long as a session uses it.
#[derive(Clone)]
pub struct Hold(pub Arc<dyn Any + Send + Sync>);

/// Whether a request asks for a session. No request of AWS does.
pub fn is_asked<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with(PATH)
        && request.headers().get(UPGRADE).is_some_and(|protocol| protocol == PROTOCOL)
}

/// Answers a request for a session. The session begins once the answer has been sent.
pub fn answer(sessions: &Sessions, mut request: Request<Incoming>) -> Response<s3s::Body> {
    let id = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let token = request.headers().get(TOKEN_HEADER).and_then(|token| token.to_str().ok());
    let begun = token.and_then(|token| sessions.begin(id, token));
    let Some(begun) = begun else {
        let mut refusal = Response::new(s3s::Body::from(
            "there is no such session: it has begun, its minute is over, or its job has ended\n".to_owned(),
        ));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        return refusal;
    };
    let hold = request.extensions_mut().remove::<Hold>();
    tokio::spawn(async move {
        // A client that goes away here has no session.
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            run(begun, upgraded).await;
        }
        drop(hold);
    });
    let mut response = Response::new(s3s::Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

async fn run(begun: Begun, upgraded: Upgraded) {
    let (reader, writer) = frames::of(upgraded);
    let outcome = match &begun.task {
        Task::Command { attempt_id, command, place: Place::Host(run, common) } => {
            host::run(&begun, attempt_id, command, (run, common), reader, writer.clone()).await
        }
        Task::Command { command, place: Place::Container(name), .. } => {
            container::run(&begun, name, command, reader, writer.clone()).await
        }
        Task::Forward { port, place, .. } => forward::run(&begun, *port, place, reader, writer.clone()).await,
    };
    if let Err(why) = outcome {
        // A client that is gone need not hear it.
        let _ = writer.send(&Frame::Failed(why)).await;
    }
    writer.close().await;
}
