//! `State`: where a container is in its life.

use jiff::Timestamp;
use serde::Serialize;
use tare_core::container::State;

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
}

impl From<&State> for StateView {
    fn from(state: &State) -> Self {
        let (life, exit) = (state.life(), state.exit());
        let started_at = life.map(|life| life.started_at).or(exit.map(|exit| exit.started_at));
        let shown = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), rfc3339);
        Self {
            status: state.status(),
            running: state.is_running(),
            paused: matches!(state, State::Paused(_)),
            restarting: false,
            oom_killed: exit.is_some_and(|exit| exit.oom_killed),
            dead: matches!(state, State::Dead { .. }),
            pid: life.map_or(0, |life| life.pid),
            exit_code: state.exit_code(),
            error: state.error().to_owned(),
            started_at: shown(started_at),
            finished_at: shown(exit.map(|exit| exit.finished_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tare_core::container::StartFailure;

    use super::*;

    #[test]
    fn one_that_never_ran_has_dockers_zero_times() {
        let failure = StartFailure { code: 127, error: "no such program".to_owned() };
        let view = StateView::from(&State::Created { failure: Some(failure) });
        let json = serde_json::to_value(view).unwrap();
        assert_eq!(json["Status"], "created");
        assert_eq!(json["Pid"], 0);
        assert_eq!(json["ExitCode"], 127);
        assert_eq!(json["Error"], "no such program");
        assert_eq!(json["StartedAt"], "0001-01-01T00:00:00Z");
        assert_eq!(json["OOMKilled"], false);
    }
}
