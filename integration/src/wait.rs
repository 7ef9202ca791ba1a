//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long a condition may take to come true before the test fails, and how long a command may
/// run. Generous: the machine may be slow, its disk may have gigabytes to write before it gets to
/// ours, and a test that passes never waits that long.
pub const DEADLINE: Duration = Duration::from_secs(180);

const PAUSE: Duration = Duration::from_millis(10);

/// Asks `ready` again and again until it gives something, and returns that.
///
/// # Panics
/// When [`DEADLINE`] passes first; the text says `what` was waited for.
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// [`until`] for a condition that gives nothing but its truth.
pub fn until_true(what: &str, mut ready: impl FnMut() -> bool) {
    until(what, || ready().then_some(()));
}
