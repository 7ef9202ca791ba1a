//! Whether a session's client is still well: a client that has vanished need not have closed anything.

use std::time::Duration;

use tare_proto::builds::grpc::health::v1::HealthCheckRequest;
use tare_proto::builds::grpc::health::v1::health_client::HealthClient;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::connection::{Link, origin};

/// How patient one is with a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From one question to the next.
    pub(super) interval: Duration,
    /// For an answer; a client that answered slowly gets half as much again as it needed.
    pub(super) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), answer: Duration::from_secs(30) }
    }
}

/// Answers in a row that make up for one that failed.
const RECOVERED: u32 = 5;

/// Ends when the client is not well any more: when two questions went without a good answer. Much that
/// is under way on a slow line can hold up one.
pub(super) async fn watch(link: &Link, patience: Patience) {
    let mut client = HealthClient::with_origin(link.clone(), origin());
    let mut ticks = interval_at(Instant::now() + patience.interval, patience.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut has_failed, mut good, mut needed) = (false, 0, Duration::ZERO);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        let limit = patience.answer.max(needed + needed / 2);
        let answer = timeout(limit, client.check(HealthCheckRequest::default())).await;
        needed = asked.elapsed();
        match (answer, has_failed) {
            (Ok(Ok(_)), _) => {
                good += 1;
                has_failed &= good < RECOVERED;
            }
            (_, true) => return,
            (_, false) => (has_failed, good) = (true, 0),
        }
    }
}
