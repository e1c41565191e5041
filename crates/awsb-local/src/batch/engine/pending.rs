//! Replies and orders that are sent after the commit.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::batch::messages::{Message, Reply};
use crate::batch::model::QueueSnapshot;
use crate::http::protocol::ApiError;
use crate::runner::protocol::{Order, RunnerId};

/// Answers a request, once it is known whether its transaction is on the disk.
type PendingReply = Box<dyn FnOnce(Result<(), ApiError>)>;

/// The replies and orders of a batch of messages, to be sent after its transaction has been
/// committed.
#[derive(Default)]
pub struct PendingReplies {
    /// Answers to requests.
    pub replies: Vec<PendingReply>,
    /// Requests that have jobs ended. On a full disk they are repeated with a part of the reserve.
    pub ends: Vec<Message>,
    /// Orders for runners.
    pub orders: Vec<(RunnerId, Order)>,
    /// Runners that are gone and have reported everything.
    pub gone: Vec<RunnerId>,
}

impl PendingReplies {
    /// Answers a request with a value after the commit, or with the error when the transaction
    /// fails.
    pub fn reply_after_commit<T: 'static>(&mut self, reply: Reply<T>, value: T) {
        self.replies.push(Box::new(move |outcome| {
            let _ = reply.send(outcome.map(|()| value));
        }));
    }

    /// Answers a message that was not handled: the error of the transaction is the answer.
    pub fn reply_unhandled(&mut self, message: Message) {
        match message {
            Message::Submit(_, _, reply) => self.reply_after_commit(reply, String::new()),
            Message::Change(_, _, reply) => self.reply_after_commit(reply, Value::Null),
            Message::QueueSnapshot(_, reply) => self.reply_after_commit(reply, QueueSnapshot::default()),
            Message::InUse(reply) => self.reply_after_commit(reply, BTreeMap::new()),
            Message::End { .. } | Message::EndAll(_) => self.ends.push(message),
            // A runner reports again what it has not been told to forget, when it has reconnected.
            Message::Connected(..) | Message::Report(..) | Message::Disconnected(..) => {}
            // These are asked for again.
            Message::Prepared(_) | Message::Removed(_) | Message::Assigned(_) | Message::Task(..) => {}
            Message::Stop => {}
        }
    }
}
