//! A container that is watched over, as a manager follows it.

use std::time::SystemTime;

use tare_proto::tare::shim::v1 as tare;
use tare_proto::tare::shim::v1::condition::Phase;
use tare_proto::tare::shim::v1::restart_policy::When;
use tonic::Status;

use super::client::{Client, PATIENCE};

pub(crate) fn policy(when: When, maximum_retries: u32) -> tare::RestartPolicy {
    tare::RestartPolicy { when: when.into(), maximum_retries }
}

/// What the shim tells of one container.
pub(crate) struct Watch {
    conditions: tonic::Streaming<tare::Condition>,
}

impl Client {
    pub(crate) async fn watch(&self) -> Watch {
        let request = tare::WatchRequest { id: self.id() };
        let conditions = self.supervision.clone().watch(request).await.unwrap().into_inner();
        Watch { conditions }
    }

    pub(crate) async fn set_policy(
        &self,
        policy: tare::RestartPolicy,
    ) -> Result<tare::Condition, Status> {
        let request = tare::SetRestartPolicyRequest { id: self.id(), policy: Some(policy) };
        let answer = self.supervision.clone().set_restart_policy(request).await;
        answer.map(tonic::Response::into_inner)
    }
}

impl Watch {
    /// The next condition; `None` when the task has been deleted.
    pub(crate) async fn next(&mut self) -> Option<tare::Condition> {
        let next = tokio::time::timeout(PATIENCE, self.conditions.message()).await;
        next.expect("nothing happens").unwrap()
    }

    /// Whether there is no other run until it is deleted, once it has ended.
    pub(crate) async fn until_deleted(&mut self) -> bool {
        let mut has_ended = false;
        while let Some(condition) = self.next().await {
            if has_ended && !is_ended(&condition) {
                return false;
            }
            has_ended = is_ended(&condition);
        }
        has_ended
    }

    /// The next condition for which `is_it` is true.
    pub(crate) async fn until(
        &mut self,
        is_it: impl Fn(&tare::Condition) -> bool,
    ) -> tare::Condition {
        loop {
            let condition = self.next().await.expect("it has been deleted");
            if is_it(&condition) {
                return condition;
            }
        }
    }

    /// The init that runs after so many restarts.
    pub(crate) async fn running(&mut self, restarts: u32) -> u32 {
        let condition = self.until(|condition| is_running(condition, restarts)).await;
        pid(&condition)
    }

    /// How the run ended after which it waits, for restart number `restarts`.
    pub(crate) async fn waiting(&mut self, restarts: u32) -> tare::WaitingPhase {
        let condition = self.until(|it| it.restarts == restarts && is_waiting(it)).await;
        match condition.phase {
            Some(Phase::Waiting(waiting)) => waiting,
            other => panic!("{other:?}"),
        }
    }

    /// How it ended for good, and after how many restarts.
    pub(crate) async fn ended(&mut self) -> (tare::Ending, u32) {
        let condition = self.until(is_ended).await;
        match condition.phase {
            Some(Phase::Ended(ended)) => (ended.ending.unwrap(), condition.restarts),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn is_waiting(condition: &tare::Condition) -> bool {
    matches!(condition.phase, Some(Phase::Waiting(_)))
}

pub(crate) fn is_ended(condition: &tare::Condition) -> bool {
    matches!(condition.phase, Some(Phase::Ended(_)))
}

pub(crate) fn is_running(condition: &tare::Condition, restarts: u32) -> bool {
    condition.restarts == restarts && matches!(condition.phase, Some(Phase::Running(_)))
}

/// The init of a container that is there.
pub(crate) fn pid(condition: &tare::Condition) -> u32 {
    match &condition.phase {
        Some(Phase::Created(created)) => created.pid,
        Some(Phase::Running(running)) => running.pid,
        other => panic!("{other:?}"),
    }
}

/// Since when a container runs.
pub(crate) fn started_at(condition: &tare::Condition) -> SystemTime {
    match &condition.phase {
        Some(Phase::Running(running)) => SystemTime::try_from(running.started_at.unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}
