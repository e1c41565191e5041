//! The smallest schedules that were found, each with the mistake that it shows. Without the mistake
//! the promise holds.
//!
//! A schedule that a test prints is put here as it is.

use super::Reply::{Error, Lost, Throttled};
use super::{Holder, Kill, Read, RecordCall, Schedule, Stall, SubmitCall, TerminateCall};
use crate::batch::protocol::bugs::Bug;

/// All of them.
pub fn regressions() -> Vec<(Bug, Schedule)> {
    vec![
        (
            Bug::DeduplicationAfterLostAttempt,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 2000,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::DeduplicationAfterFind,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![
                    SubmitCall { reply: Error, acts: true, acts_after: 1074, ..SubmitCall::default() },
                    SubmitCall { reply: Lost, acts: true, acts_after: 1607, ..SubmitCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::OneFailedPassIsEnough,
            Schedule {
                settle: 1000,
                timeout: 2000,
                bound: 1000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall { reply: Error, acts: true, ..SubmitCall::default() }],
                reads: vec![Read { fails: true, after: 1948 }],
                ..Schedule::default()
            },
        ),
        (
            Bug::RejectionAfterLostAttemptIsCertain,
            Schedule {
                settle: 1000,
                bound: 2000,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Error,
                    acts: true,
                    listed_after: 1285,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::KeyFreedAfterLostAttempt,
            Schedule {
                settle: 1000,
                bound: 2000,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Error,
                    acts: true,
                    listed_after: 1285,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::ThrottlingForgetsLostAttempt,
            Schedule {
                settle: 1000,
                timeout: 2000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![
                    SubmitCall { reply: Error, acts: true, acts_after: 1295, ..SubmitCall::default() },
                    SubmitCall { reply: Throttled, ..SubmitCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::ResetIsRetryable,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall { reply: Lost, acts: true, ..SubmitCall::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::NoSearch,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 1037,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::EarlyPassCounts,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 1000,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    listed_after: 100,
                    ..SubmitCall::default()
                }],
                reads: vec![Read { after: 1000, ..Read::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::FirstPageOnly,
            Schedule {
                settle: 1000,
                timeout: 2000,
                bound: 1000,
                keyed: true,
                parts: 1,
                others: 8,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall { reply: Error, acts: true, ..SubmitCall::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::SkewIgnored,
            Schedule {
                settle: 1000,
                bound: 2000,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall { reply: Error, acts: true, ..SubmitCall::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::TerminateOnce,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 1978,
                    ..SubmitCall::default()
                }],
                terminates: vec![TerminateCall { fails: true, idle: true, ..TerminateCall::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::DuplicatesLeft,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                parts: 1,
                holders: vec![Holder { ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 2000,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::ShortLease,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { kill: Some(Kill { step: 34, actions: 2 }), ..Holder::default() },
                    Holder { ..Holder::default() },
                ],
                submits: vec![
                    SubmitCall { reply: Lost, acts: true, acts_after: 1658, ..SubmitCall::default() },
                    SubmitCall { reply: Lost, acts: true, acts_after: 1992, ..SubmitCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::LeaseWithoutSkew,
            Schedule {
                settle: 1000,
                bound: 1000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { ..Holder::default() },
                    Holder { ..Holder::default() },
                    Holder { skew: -3500, ..Holder::default() },
                ],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 100,
                    listed_after: 86,
                    ..SubmitCall::default()
                }],
                records: vec![
                    RecordCall { idle: true, acts_after: 71, after: 142, ..RecordCall::default() },
                    RecordCall { fails: true, idle: true, ..RecordCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::NewMarksAtTakeover,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { kill: Some(Kill { step: 34, actions: 1 }), ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 1552,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::NoDeduplicationAfterTakeover,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { stalls: vec![Stall { step: 1, time: 3561 }], ..Holder::default() },
                    Holder { ..Holder::default() },
                ],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    listed_after: 963,
                    ..SubmitCall::default()
                }],
                ..Schedule::default()
            },
        ),
        (
            Bug::OrphanedDuplicateLeft,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder { kill: Some(Kill { step: 34, actions: 1 }), ..Holder::default() }],
                submits: vec![
                    SubmitCall { reply: Lost, acts: true, acts_after: 1552, ..SubmitCall::default() },
                    SubmitCall { reply: Lost, acts: true, ..SubmitCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::LostKeyLeavesJob,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { stalls: vec![Stall { step: 3, time: 5000 }], ..Holder::default() },
                    Holder { ..Holder::default() },
                ],
                submits: vec![SubmitCall { reply: Throttled, ..SubmitCall::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::FoundIsOurs,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { stalls: vec![Stall { step: 3, time: 5000 }], ..Holder::default() },
                    Holder { ..Holder::default() },
                ],
                submits: vec![
                    SubmitCall { reply: Throttled, ..SubmitCall::default() },
                    SubmitCall { ..SubmitCall::default() },
                    SubmitCall { reply: Lost, acts: true, ..SubmitCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::UnlistedIsYoungest,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![Holder {
                    kill: Some(Kill { step: 37, ..Kill::default() }),
                    ..Holder::default()
                }],
                submits: vec![
                    SubmitCall { reply: Lost, acts: true, acts_after: 2000, ..SubmitCall::default() },
                    SubmitCall { listed_after: 1511, ..SubmitCall::default() },
                ],
                terminates: vec![TerminateCall { fails: true, ..TerminateCall::default() }],
                ..Schedule::default()
            },
        ),
        (
            Bug::AnyRecordOfOurs,
            Schedule {
                settle: 1000,
                bound: 1000,
                keyed: true,
                parts: 1,
                others: 7,
                holders: vec![Holder { kill: Some(Kill { step: 26, actions: 2 }), ..Holder::default() }],
                submits: vec![SubmitCall {
                    reply: Lost,
                    acts: true,
                    acts_after: 100,
                    ..SubmitCall::default()
                }],
                records: vec![
                    RecordCall { fails: true, twice: true, acts_after: 554, ..RecordCall::default() },
                    RecordCall { twice: true, after: 100, ..RecordCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::NoFence,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { stalls: vec![Stall { step: 12, time: 3554 }], ..Holder::default() },
                    Holder { ..Holder::default() },
                ],
                submits: vec![
                    SubmitCall { reply: Lost, ..SubmitCall::default() },
                    SubmitCall { reply: Error, ..SubmitCall::default() },
                    SubmitCall { reply: Error, acts: true, listed_after: 2000, ..SubmitCall::default() },
                ],
                ..Schedule::default()
            },
        ),
        (
            Bug::ConflictIgnored,
            Schedule {
                settle: 1000,
                timeout: 300000,
                bound: 2000,
                keyed: true,
                parts: 1,
                holders: vec![
                    Holder { stalls: vec![Stall { step: 3, time: 5000 }], ..Holder::default() },
                    Holder { ..Holder::default() },
                ],
                submits: vec![SubmitCall { reply: Throttled, ..SubmitCall::default() }],
                ..Schedule::default()
            },
        ),
    ]
}
