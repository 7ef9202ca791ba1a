//! How long a container that has ended waits to be started again.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// A run as long as this was a good one.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// Waits that become longer with each run that isn't a good one.
#[derive(Debug, Default)]
pub(in crate::container) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The wait after a run as long as this.
    pub(super) fn next(&mut self, ran: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if ran < GOOD_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_run_doubles_the_wait_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let mut wait = |seconds| backoff.next(Duration::from_secs(seconds)).as_millis();
        assert_eq!([wait(0), wait(9), wait(0)], [100, 200, 400]);
        assert_eq!(wait(10), 100);
        let longest = (0..20).map(|_| wait(1)).last();
        assert_eq!(longest, Some(60_000));
    }
}
