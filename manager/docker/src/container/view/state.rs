//! `State`: where a container is in its life.

use jiff::Timestamp;
use serde::Serialize;
use tare_core::container::{Container, Health, Probe, State};

use crate::time::{NEVER, rfc3339};

/// Docker's `State`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::container) struct StateView {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i64,
    error: String,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthView>,
}

/// Docker's `Health`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthView {
    status: String,
    failing_streak: u32,
    log: Vec<ProbeView>,
}

/// Docker's `HealthcheckResult`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProbeView {
    start: String,
    end: String,
    exit_code: i32,
    output: String,
}

impl From<&Container> for StateView {
    fn from(container: &Container) -> Self {
        let state = &container.state;
        let (life, exit) = (state.life(), state.exit());
        let started_at = life.map(|life| life.started_at).or(exit.map(|exit| exit.started_at));
        let shown = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), rfc3339);
        Self {
            status: state.status(),
            running: state.is_running(),
            paused: matches!(state, State::Paused(_)),
            restarting: matches!(state, State::Restarting(_)),
            oom_killed: exit.is_some_and(|exit| exit.oom_killed),
            dead: matches!(state, State::Dead { .. }),
            pid: life.map_or(0, |life| life.pid),
            exit_code: state.exit_code(),
            error: state.error().to_owned(),
            started_at: shown(started_at),
            finished_at: shown(state.last_finished_at()),
            health: container.health.as_ref().map(HealthView::from),
        }
    }
}

impl From<&Health> for HealthView {
    fn from(health: &Health) -> Self {
        Self {
            status: health.status.to_string(),
            failing_streak: health.failing_streak,
            log: health.probes.iter().map(ProbeView::from).collect(),
        }
    }
}

impl From<&Probe> for ProbeView {
    fn from(probe: &Probe) -> Self {
        Self {
            start: rfc3339(probe.started_at),
            end: rfc3339(probe.ended_at),
            exit_code: probe.exit_code,
            output: probe.output.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tare_core::container::{Exit, HealthStatus, StartFailure};

    use super::super::fixture::running;
    use super::*;

    fn json(container: &Container) -> serde_json::Value {
        serde_json::to_value(StateView::from(container)).unwrap()
    }

    #[test]
    fn one_that_never_ran_has_dockers_zero_times() {
        let failure = StartFailure { code: 127, error: "no such program".to_owned() };
        let state = State::Created { failure: Some(failure) };
        let json = json(&Container { state, ..running() });
        assert_eq!(json["Status"], "created");
        assert_eq!(json["Pid"], 0);
        assert_eq!(json["ExitCode"], 127);
        assert_eq!(json["Error"], "no such program");
        assert_eq!(json["StartedAt"], "0001-01-01T00:00:00Z");
        assert_eq!(json["OOMKilled"], false);
        assert!(json.get("Health").is_none());
    }

    #[test]
    fn one_that_is_about_to_be_started_again_runs_for_docker() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let exit = Exit {
            code: 3,
            started_at: at(1),
            finished_at: at(2),
            oom_killed: false,
            error: String::new(),
        };
        let json = json(&Container { state: State::Restarting(exit), ..running() });
        assert_eq!(json["Status"], "restarting");
        assert_eq!((&json["Running"], &json["Restarting"]), (&true.into(), &true.into()));
        assert_eq!((&json["Pid"], &json["ExitCode"]), (&0.into(), &3.into()));
        assert_eq!(json["FinishedAt"], "1970-01-01T00:00:02Z");
    }

    #[test]
    fn health_has_its_log() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let probe =
            Probe { started_at: at(1), ended_at: at(2), exit_code: -1, output: "slow".to_owned() };
        let health =
            Health { status: HealthStatus::Unhealthy, failing_streak: 3, probes: vec![probe] };
        let json = json(&Container { health: Some(health), ..running() });
        let expected = serde_json::json!({
            "Status": "unhealthy",
            "FailingStreak": 3,
            "Log": [{
                "Start": "1970-01-01T00:00:01Z",
                "End": "1970-01-01T00:00:02Z",
                "ExitCode": -1,
                "Output": "slow",
            }],
        });
        assert_eq!(json["Health"], expected);
    }
}
