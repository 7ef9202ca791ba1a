//! What was measured, and what is said of many measurements.

use std::time::Duration;

/// What one command took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// From its start until it was reaped.
    pub(crate) wall: Duration,
    /// In user and kernel mode, it and all that it started.
    pub(crate) cpu: Duration,
}

/// The costs of one contender's command, round by round.
pub(crate) type Costs = Vec<Cost>;

/// The least, the middle and the largest of many durations, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of the durations that `part` takes out of `costs`; nothing of no costs.
    pub(crate) fn of(costs: &[Cost], part: impl Fn(&Cost) -> Duration) -> Option<Spread> {
        let mut times: Vec<f64> =
            costs.iter().map(|cost| part(cost).as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let (min, max) = (*times.first()?, *times.last()?);
        Some(Spread { min, median: *times.get(times.len() / 2)?, max })
    }
}
