//! What probes say about a container, and when the next one is due: docker's rules, as a machine
//! that knows neither clock nor process.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// How many probes are remembered.
const REMEMBERED: usize = 5;

/// When probes are run, and what their results mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timing {
    /// From the end of one probe to the start of the next.
    pub(super) interval: Duration,
    /// How long a probe may take.
    pub(super) timeout: Duration,
    /// How long after the start failures don't count yet.
    pub(super) start_period: Duration,
    /// The interval in that time, as long as no probe has succeeded.
    pub(super) start_interval: Duration,
    /// How many failures in a row are too many.
    pub(super) retries: u32,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HealthStatus {
    /// It isn't known yet.
    Starting,
    /// Well.
    Healthy,
    /// Not well, or not watched.
    Unhealthy,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// When it began.
    pub(crate) started_at: SystemTime,
    /// When it was over.
    pub(crate) ended_at: SystemTime,
    /// Its exit code; -1 where it couldn't be run, or took too long.
    pub(crate) exit_code: i32,
    /// What it wrote.
    pub(crate) output: String,
}

/// What is known about the health of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// How it is.
    pub(crate) status: HealthStatus,
    /// How many probes in a row have failed.
    pub(crate) failing_streak: u32,
    /// The last probes, the newest last.
    pub(crate) probes: VecDeque<Probe>,
}

impl Default for Health {
    fn default() -> Self {
        let (status, probes) = (HealthStatus::Starting, VecDeque::new());
        Health { status, failing_streak: 0, probes }
    }
}

impl Health {
    /// A run has begun. What was found in earlier ones is still shown.
    pub(super) fn start(&mut self) {
        self.status = HealthStatus::Starting;
        self.failing_streak = 0;
    }

    /// Nobody watches any longer.
    pub(super) fn stop(&mut self) {
        self.status = HealthStatus::Unhealthy;
    }

    /// A probe is over, which had begun when the run was of this age.
    pub(super) fn judge(&mut self, timing: &Timing, probe: Probe, age: Duration) {
        let succeeded = probe.exit_code == 0;
        while self.probes.len() >= REMEMBERED {
            self.probes.pop_front();
        }
        self.probes.push_back(probe);
        if succeeded {
            self.status = HealthStatus::Healthy;
            self.failing_streak = 0;
            return;
        }
        if self.status == HealthStatus::Starting && age < timing.start_period {
            return;
        }
        self.failing_streak = self.failing_streak.saturating_add(1);
        if self.failing_streak >= timing.retries {
            self.status = HealthStatus::Unhealthy;
        }
    }

    /// How long to wait before the next probe of a run of this age.
    pub(super) fn interval(&self, timing: &Timing, age: Duration) -> Duration {
        match self.status {
            HealthStatus::Starting if age < timing.start_period => timing.start_interval,
            HealthStatus::Starting | HealthStatus::Healthy | HealthStatus::Unhealthy => {
                timing.interval
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(3),
        start_period: Duration::from_secs(20),
        start_interval: Duration::from_secs(5),
        retries: 3,
    };
    const EARLY: Duration = Duration::from_secs(19);
    const LATE: Duration = Duration::from_secs(20);

    fn probe(exit_code: i32) -> Probe {
        let at = SystemTime::UNIX_EPOCH;
        Probe { started_at: at, ended_at: at, exit_code, output: String::new() }
    }

    fn after(health: &mut Health, exit_code: i32, age: Duration) -> (HealthStatus, u32) {
        health.judge(&TIMING, probe(exit_code), age);
        (health.status, health.failing_streak)
    }

    #[test]
    fn only_so_many_failures_in_a_row_make_it_unhealthy() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        let mut health = Health::default();
        assert_eq!(after(&mut health, 1, LATE), (Starting, 1));
        assert_eq!(after(&mut health, 0, LATE), (Healthy, 0));
        assert_eq!(after(&mut health, -1, LATE), (Healthy, 1));
        assert_eq!(after(&mut health, 2, LATE), (Healthy, 2));
        assert_eq!(after(&mut health, 2, LATE), (Unhealthy, 3));
        assert_eq!(after(&mut health, 2, LATE), (Unhealthy, 4));
        assert_eq!(after(&mut health, 0, LATE), (Healthy, 0));
    }

    #[test]
    fn failures_in_the_beginning_do_not_count_until_it_was_well_once() {
        use HealthStatus::{Healthy, Starting};
        let mut health = Health::default();
        for _ in 0..9 {
            assert_eq!(after(&mut health, 1, EARLY), (Starting, 0));
        }
        assert_eq!(after(&mut health, 1, LATE), (Starting, 1));
        assert_eq!(after(&mut health, 0, EARLY), (Healthy, 0));
        assert_eq!(after(&mut health, 1, EARLY), (Healthy, 1));
    }

    #[test]
    fn probes_are_closer_together_until_it_was_well_once() {
        let mut health = Health::default();
        assert_eq!(health.interval(&TIMING, EARLY), TIMING.start_interval);
        assert_eq!(health.interval(&TIMING, LATE), TIMING.interval);
        after(&mut health, 0, EARLY);
        assert_eq!(health.interval(&TIMING, EARLY), TIMING.interval);
        health.stop();
        assert_eq!(health.interval(&TIMING, EARLY), TIMING.interval);
        health.start();
        assert_eq!(health.interval(&TIMING, EARLY), TIMING.start_interval);
    }

    #[test]
    fn the_last_five_are_remembered_over_all_runs() {
        let mut health = Health::default();
        for code in 1..=7 {
            after(&mut health, code, LATE);
        }
        health.stop();
        assert_eq!(health.status, HealthStatus::Unhealthy);
        health.start();
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
        let codes: Vec<_> = health.probes.iter().map(|probe| probe.exit_code).collect();
        assert_eq!(codes, [3, 4, 5, 6, 7]);
    }
}
