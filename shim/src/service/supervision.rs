//! The Supervision service: what the shim does about its container without being asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost_types::Timestamp;
use tare_proto::tare::shim::v1 as api;
use tare_proto::tare::shim::v1::condition;
use tare_proto::tare::shim::v1::health::Status;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response};

use crate::error::Error;
use crate::task::{Ending, Health, HealthStatus, Phase, Probe, Situation, Tasks, restart_policy};

/// The service over this shim's tasks.
#[derive(Clone)]
pub(crate) struct SupervisionService {
    tasks: Arc<Tasks>,
}

impl SupervisionService {
    /// Serves `tasks`.
    pub(crate) fn new(tasks: Arc<Tasks>) -> Self {
        SupervisionService { tasks }
    }
}

#[tonic::async_trait]
impl api::supervision_server::Supervision for SupervisionService {
    type WatchStream = Conditions;

    async fn watch(
        &self,
        request: Request<api::WatchRequest>,
    ) -> Result<Response<Conditions>, tonic::Status> {
        let situation = self.tasks.get(&request.into_inner().id)?.watch();
        Ok(Response::new(Conditions::new(situation)))
    }

    async fn set_restart_policy(
        &self,
        request: Request<api::SetRestartPolicyRequest>,
    ) -> Result<Response<api::Condition>, tonic::Status> {
        let api::SetRestartPolicyRequest { id, policy } = request.into_inner();
        let policy = policy.ok_or_else(|| Error::invalid("SetRestartPolicy needs a policy"))?;
        let situation = self.tasks.get(&id)?.set_restart_policy(restart_policy(&policy)?)?;
        Ok(Response::new(condition(&situation)))
    }
}

type Source = watch::Receiver<Option<Situation>>;

/// A task's conditions, from the present one on, until it is deleted.
pub(crate) struct Conditions {
    next: Pin<Box<dyn Future<Output = (Source, Option<api::Condition>)> + Send>>,
}

impl Conditions {
    fn new(mut source: Source) -> Self {
        source.mark_changed();
        Conditions { next: Box::pin(next(source)) }
    }
}

/// The newest condition that hasn't been seen; `None` when there will be no other.
async fn next(mut source: Source) -> (Source, Option<api::Condition>) {
    let found = match source.changed().await {
        Ok(()) => source.borrow_and_update().as_ref().map(condition),
        Err(_) => None,
    };
    (source, found)
}

impl Stream for Conditions {
    type Item = Result<api::Condition, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (source, found) = std::task::ready!(self.next.as_mut().poll(context));
        self.next = Box::pin(next(source));
        Poll::Ready(found.map(Ok))
    }
}

fn condition(situation: &Situation) -> api::Condition {
    let phase = match &situation.phase {
        Phase::Created { pid } => condition::Phase::Created(api::CreatedPhase { pid: *pid }),
        Phase::Running { pid, started_at } => condition::Phase::Running(api::RunningPhase {
            pid: *pid,
            started_at: Some(Timestamp::from(*started_at)),
        }),
        Phase::Waiting { ending: end, restart_at } => {
            condition::Phase::Waiting(api::WaitingPhase {
                ending: Some(ending(end)),
                restart_at: Some(Timestamp::from(*restart_at)),
            })
        }
        Phase::Ended { ending: end } => {
            condition::Phase::Ended(api::EndedPhase { ending: Some(ending(end)) })
        }
    };
    api::Condition {
        phase: Some(phase),
        restarts: situation.restarts,
        health: situation.health.as_deref().map(health),
        last: situation.last.as_ref().map(ending),
    }
}

fn health(health: &Health) -> api::Health {
    let status = match health.status {
        HealthStatus::Starting => Status::Starting,
        HealthStatus::Healthy => Status::Healthy,
        HealthStatus::Unhealthy => Status::Unhealthy,
    };
    let probe = |probe: &Probe| api::Probe {
        started_at: Some(Timestamp::from(probe.started_at)),
        ended_at: Some(Timestamp::from(probe.ended_at)),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    };
    api::Health {
        status: status.into(),
        failing_streak: health.failing_streak,
        probes: health.probes.iter().map(probe).collect(),
    }
}

fn ending(ending: &Ending) -> api::Ending {
    api::Ending {
        status: ending.exit.status,
        started_at: ending.started_at.map(Timestamp::from),
        exited_at: Some(Timestamp::from(ending.exit.at)),
        oom_killed: ending.oom_killed,
        dropped_lines: ending.dropped_lines,
        error: ending.error.clone().unwrap_or_default(),
    }
}
