//! When a container that has ended is started again: docker's policies and back-off, as a machine
//! that knows neither clock nor process.

use std::time::Duration;

/// The first wait before a restart; each further one is twice as long,
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// but never longer than this.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// After a run that lasted this long the waits begin anew.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// Which ends call for a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    /// None.
    #[default]
    Never,
    /// Failures, as long as there were fewer restarts than this; any number where it is 0.
    OnFailure {
        /// How many restarts there may be.
        maximum_retries: u32,
    },
    /// All.
    Always,
}

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ended with status 0.
    Success,
    /// It ended with another, or could not even be started.
    Failure,
}

/// The restarts of one container, those to come and those that have been.
#[derive(Debug)]
pub(super) struct Restarts {
    policy: RestartPolicy,
    /// How many there have been, with one that is waited for.
    count: u32,
    /// How long the last one was waited for.
    delay: Option<Duration>,
}

impl Restarts {
    /// By `policy`, after `count` restarts by others.
    pub(super) fn new(policy: RestartPolicy, count: u32) -> Self {
        Restarts { policy, count, delay: None }
    }

    /// How many there have been, with one that is waited for.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// A run has ended after it had lasted for `ran`: returns how long to wait before the next one,
    /// if there is to be one.
    pub(super) fn after(&mut self, outcome: Outcome, ran: Duration) -> Option<Duration> {
        if !self.policy.calls_for(outcome, self.count) {
            return None;
        }
        let before = self.delay.filter(|_| ran < GOOD_RUN);
        let delay = before.map_or(FIRST_DELAY, |delay| (delay * 2).min(LONGEST_DELAY));
        self.delay = Some(delay);
        self.count = self.count.saturating_add(1);
        Some(delay)
    }

    /// From now on this is the policy. The waits begin anew.
    pub(super) fn set_policy(&mut self, policy: RestartPolicy) {
        self.policy = policy;
        self.delay = None;
    }

    /// Whether a restart that is waited for, and so is counted, is still wanted after a run that
    /// came out like this.
    pub(super) fn still_wanted(&self, outcome: Outcome) -> bool {
        self.policy.calls_for(outcome, self.count.saturating_sub(1))
    }
}

impl RestartPolicy {
    fn calls_for(self, outcome: Outcome, restarts: u32) -> bool {
        match (self, outcome) {
            (RestartPolicy::Never, _) | (RestartPolicy::OnFailure { .. }, Outcome::Success) => {
                false
            }
            (RestartPolicy::OnFailure { maximum_retries }, Outcome::Failure) => {
                maximum_retries == 0 || restarts < maximum_retries
            }
            (RestartPolicy::Always, _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(9);

    fn delays(restarts: &mut Restarts, runs: &[Duration]) -> Vec<u128> {
        let delay = |ran: &Duration| restarts.after(Outcome::Failure, *ran).unwrap().as_millis();
        runs.iter().map(delay).collect()
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let mut restarts = Restarts::new(RestartPolicy::Always, 0);
        let expected =
            [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert_eq!(delays(&mut restarts, &[SHORT; 12]), expected);
        assert_eq!(delays(&mut restarts, &[GOOD_RUN, SHORT, SHORT]), [100, 200, 400]);
        assert_eq!(restarts.count(), 15);
    }

    #[test]
    fn each_policy_has_its_ends() {
        let restarts = |policy, outcome| Restarts::new(policy, 0).after(outcome, SHORT).is_some();
        let on_failure = RestartPolicy::OnFailure { maximum_retries: 0 };
        for outcome in [Outcome::Success, Outcome::Failure] {
            assert!(!restarts(RestartPolicy::Never, outcome));
            assert!(restarts(RestartPolicy::Always, outcome));
            assert_eq!(restarts(on_failure, outcome), outcome == Outcome::Failure);
        }
    }

    #[test]
    fn retries_are_counted_with_those_of_others() {
        let policy = RestartPolicy::OnFailure { maximum_retries: 3 };
        let mut restarts = Restarts::new(policy, 1);
        assert_eq!(delays(&mut restarts, &[SHORT; 2]), [100, 200]);
        assert_eq!(restarts.after(Outcome::Failure, SHORT), None);
        assert_eq!(restarts.count(), 3);
    }

    #[test]
    fn a_new_policy_decides_about_the_restart_that_is_waited_for() {
        let mut restarts = Restarts::new(RestartPolicy::Always, 0);
        restarts.after(Outcome::Failure, SHORT).unwrap();
        restarts.set_policy(RestartPolicy::OnFailure { maximum_retries: 1 });
        assert!(restarts.still_wanted(Outcome::Failure));
        assert!(!restarts.still_wanted(Outcome::Success));
        restarts.set_policy(RestartPolicy::Never);
        assert!(!restarts.still_wanted(Outcome::Failure));
        restarts.set_policy(RestartPolicy::Always);
        assert_eq!(delays(&mut restarts, &[SHORT]), [100]);
    }
}
