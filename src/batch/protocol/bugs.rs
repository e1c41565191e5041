//! The mistakes of the past, put back one at a time.

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
