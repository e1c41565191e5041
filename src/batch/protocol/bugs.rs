//! Mistakes that the protocol once had, or must not get. Tests put them back one at a time.

#[cfg(test)]
pub use put_back::{has, with};

/// A mistake that the protocol once had, or must not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests put the mistakes back"))]
pub enum Bug {
    /// The deduplication began a settle time after the last lost attempt.
    DeduplicationAfterLostAttempt,
    /// The deduplication began as soon as a job was found.
    DeduplicationAfterFind,
    /// One failed pass that outlasted the settle time ended the search.
    OneFailedPassIsEnough,
    /// After a lost attempt, a rejection said that there is no job.
    RejectionAfterLostAttemptIsCertain,
    /// The key was freed when no job had been listed within the settle time.
    KeyFreedAfterLostAttempt,
    /// Ctrl-C after a lost attempt and a throttled one said that there is no job.
    ThrottlingForgetsLostAttempt,
    /// A reset connection counted as an attempt that certainly submitted nothing.
    ResetIsRetryable,
    /// A lost attempt was repeated without a search.
    NoSearch,
    /// A pass that began before the settle time was over counted as one after it.
    EarlyPassCounts,
    /// A pass ended with the first page.
    FirstPageOnly,
    /// Jobs that were created before the submission, by this machine's clock, were skipped.
    SkewIgnored,
    /// TerminateJob was not repeated.
    TerminateOnce,
    /// Duplicates were not terminated.
    DuplicatesLeft,
    /// A lease lasted one settle time.
    ShortLease,
    /// The clocks of all submitters were assumed to be equal.
    LeaseWithoutSkew,
    /// A submitter that took a key over made new marks.
    NewMarksAtTakeover,
    /// A submitter that took a key over did not search for duplicates of a slow holder.
    NoDeduplicationAfterTakeover,
    /// A dead holder had left two jobs of one mark: one was recorded, the other kept running.
    OrphanedDuplicateLeft,
    /// A job that was submitted after the key had been lost kept running.
    LostKeyLeavesJob,
    /// A job that was found after a lost attempt counted as the attempt's, although the key had
    /// been lost.
    FoundIsOurs,
    /// A deduplication took an own job that was not listed yet for the youngest, and the next
    /// deduplication kept the oldest, although it had been terminated.
    UnlistedIsYoungest,
    /// A record with the same holder and number counted as the one that was written.
    AnyRecordOfOurs,
    /// A holder did not verify that it still holds the key before it went on.
    NoFence,
    /// A holder that had lost its key reported its own job as the submitted one.
    ConflictIgnored,
}

#[cfg(test)]
impl Bug {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::DeduplicationAfterLostAttempt,
        Self::DeduplicationAfterFind,
        Self::OneFailedPassIsEnough,
        Self::RejectionAfterLostAttemptIsCertain,
        Self::KeyFreedAfterLostAttempt,
        Self::ThrottlingForgetsLostAttempt,
        Self::ResetIsRetryable,
        Self::NoSearch,
        Self::EarlyPassCounts,
        Self::FirstPageOnly,
        Self::SkewIgnored,
        Self::TerminateOnce,
        Self::DuplicatesLeft,
        Self::ShortLease,
        Self::LeaseWithoutSkew,
        Self::NewMarksAtTakeover,
        Self::NoDeduplicationAfterTakeover,
        Self::OrphanedDuplicateLeft,
        Self::LostKeyLeavesJob,
        Self::FoundIsOurs,
        Self::UnlistedIsYoungest,
        Self::AnyRecordOfOurs,
        Self::NoFence,
        Self::ConflictIgnored,
    ];
}

/// Whether this mistake is put back: never outside of tests.
#[cfg(not(test))]
pub const fn has(_: Bug) -> bool {
    false
}

#[cfg(test)]
mod put_back {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PUT_BACK: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this mistake is put back, in this thread.
    pub fn has(bug: Bug) -> bool {
        PUT_BACK.get() == Some(bug)
    }

    /// Does something with a mistake put back.
    pub fn with<T>(bug: Option<Bug>, work: impl FnOnce() -> T) -> T {
        PUT_BACK.set(bug);
        let done = work();
        PUT_BACK.set(None);
        done
    }
}
