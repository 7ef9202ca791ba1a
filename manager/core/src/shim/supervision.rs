//! What a shim does about its container without being asked, as its client sees it.

use std::time::Duration;

use tare_proto::tare::shim::v1 as api;
use tare_proto::tare::shim::v1::condition::Phase as Told;
use tare_proto::tare::shim::v1::restart_policy::When;
use tare_proto::tare::shim::v1::supervision_server::SERVICE_NAME as SUPERVISION;
use tare_proto::ttrpc::Replies;
use tokio::time::timeout;

use super::task::{Shim, failed, time};
use crate::container::RestartPolicy;
use crate::container::failure;
use crate::container::health::{Health, HealthStatus, Probe};
use crate::container::state::Exit;
use crate::error::{Error, Kind, Result};

/// How long a shim may take for what takes it no time.
const SOON: Duration = Duration::from_secs(10);

/// A container at one moment, as its shim has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) phase: Phase,
    /// How often it has been started again.
    pub(crate) restarts: u32,
    /// What the probes found, if there is a health check.
    pub(crate) health: Option<Health>,
    /// How the run before this one ended, if there was one.
    pub(crate) last: Option<Exit>,
}

/// Where a container is between two starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It waits to be let go for the first time.
    Created,
    /// It runs.
    Running {
        /// Its process.
        pid: u32,
        /// When it was let go.
        started_at: jiff::Timestamp,
    },
    /// It has ended, and the shim will start it again.
    Waiting(Ended),
    /// It has ended for good.
    Ended(Ended),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// Lines of the log that were dropped because its driver was slow.
    pub(crate) dropped_lines: u64,
}

/// Follows a container; ends when the shim has nothing more to tell of it.
pub(crate) struct Conditions {
    replies: Replies<api::Condition>,
}

impl Conditions {
    /// The next one.
    ///
    /// # Errors
    /// Not found when the container has been deleted, [`Kind::Unavailable`] if the shim has gone.
    pub(crate) async fn next(&mut self) -> Result<Condition> {
        match self.replies.next().await.map_err(failed)? {
            Some(condition) => read(condition),
            None => Err(Error::not_found("the container has been deleted")),
        }
    }
}

impl Shim {
    /// Follows the container, and gives it as it is now.
    ///
    /// # Errors
    /// As [`Conditions::next`].
    pub(crate) async fn follow(&self) -> Result<(Condition, Conditions)> {
        let request = api::WatchRequest { id: self.id().to_owned() };
        let opened = timeout(SOON, async {
            let replies = self.open(SUPERVISION, "Watch", &request).await?;
            let mut conditions = Conditions { replies };
            Ok((conditions.next().await?, conditions))
        });
        opened.await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Unavailable, "the shim does not tell how its container is"))
        })
    }

    /// Sets what the shim does when the container has ended; gives how it is after that.
    pub(crate) async fn set_restart_policy(&self, policy: RestartPolicy) -> Result<Condition> {
        let (id, policy) = (self.id().to_owned(), Some(restart_policy(policy)));
        let request = api::SetRestartPolicyRequest { id, policy };
        read(self.call(SUPERVISION, "SetRestartPolicy", SOON, &request).await?)
    }
}

/// A policy in the shim's words. That its user stopped a container is for us to know.
pub(crate) fn restart_policy(policy: RestartPolicy) -> api::RestartPolicy {
    let (when, maximum_retries) = match policy {
        RestartPolicy::No => (When::Never, 0),
        RestartPolicy::Always | RestartPolicy::UnlessStopped => (When::Always, 0),
        RestartPolicy::OnFailure { maximum_retries } => (When::OnFailure, maximum_retries),
    };
    api::RestartPolicy { when: when.into(), maximum_retries }
}

fn read(told: api::Condition) -> Result<Condition> {
    let incomplete = || Error::system("the shim tells of its container, but not how it is");
    let phase = match told.phase.ok_or_else(incomplete)? {
        Told::Created(_) => Phase::Created,
        Told::Running(running) => {
            Phase::Running { pid: running.pid, started_at: time(running.started_at) }
        }
        Told::Waiting(waiting) => Phase::Waiting(ended(waiting.ending.ok_or_else(incomplete)?)),
        Told::Ended(phase) => Phase::Ended(ended(phase.ending.ok_or_else(incomplete)?)),
    };
    let last = told.last.map(|ending| ended(ending).exit);
    Ok(Condition { phase, restarts: told.restarts, health: told.health.map(health), last })
}

fn ended(told: api::Ending) -> Ended {
    let code = match told.error.as_str() {
        "" => i64::from(told.status),
        reason => failure::code_of_missed_run(reason),
    };
    let exit = Exit {
        code,
        started_at: time(told.started_at),
        finished_at: time(told.exited_at),
        oom_killed: told.oom_killed,
        error: told.error,
    };
    Ended { exit, dropped_lines: told.dropped_lines }
}

fn health(told: api::Health) -> Health {
    let status = match told.status() {
        api::health::Status::Starting => HealthStatus::Starting,
        api::health::Status::Healthy => HealthStatus::Healthy,
        api::health::Status::Unhealthy => HealthStatus::Unhealthy,
    };
    let probe = |probe: api::Probe| Probe {
        started_at: time(probe.started_at),
        ended_at: time(probe.ended_at),
        exit_code: probe.exit_code,
        output: probe.output,
    };
    Health {
        status,
        failing_streak: told.failing_streak,
        probes: told.probes.into_iter().map(probe).collect(),
    }
}
