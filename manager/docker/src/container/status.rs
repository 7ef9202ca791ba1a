//! The word or two about a container's state that `docker ps` shows.

use jiff::Timestamp;
use tare_core::container::{Health, HealthStatus, State};

use crate::time::since;

/// `Up 5 minutes (healthy)`, `Exited (0) 2 seconds ago`, `Created`.
pub(super) fn text(state: &State, health: Option<&Health>, now: Timestamp) -> String {
    match state {
        State::Created { .. } => "Created".to_owned(),
        State::Running(life) => {
            let health = match health.map(|health| health.status) {
                None => String::new(),
                Some(HealthStatus::Starting) => " (health: starting)".to_owned(),
                Some(status) => format!(" ({status})"),
            };
            format!("Up {}{health}", since(life.started_at, now))
        }
        State::Paused(life) => format!("Up {} (Paused)", since(life.started_at, now)),
        State::Restarting(exit) => {
            format!("Restarting ({}) {} ago", exit.code, since(exit.finished_at, now))
        }
        State::Exited(exit) => {
            format!("Exited ({}) {} ago", exit.code, since(exit.finished_at, now))
        }
        State::Removing { .. } => "Removal In Progress".to_owned(),
        State::Dead { .. } => "Dead".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tare_core::container::{Exit, Life};

    use super::*;

    #[test]
    fn texts_are_dockers() {
        let at = |second: i64| Timestamp::new(1_700_000_000 + second, 0).unwrap();
        let life = Life { pid: 7, started_at: at(0), last_finished_at: None };
        let text = |state: &State, now| text(state, None, now);
        let exit = Exit {
            code: 137,
            started_at: at(0),
            finished_at: at(8),
            oom_killed: false,
            error: String::new(),
        };
        assert_eq!(text(&State::Created { failure: None }, at(9)), "Created");
        assert_eq!(text(&State::Running(life.clone()), at(300)), "Up 5 minutes");
        assert_eq!(text(&State::Paused(life), at(60)), "Up About a minute (Paused)");
        assert_eq!(text(&State::Exited(exit.clone()), at(10)), "Exited (137) 2 seconds ago");
        assert_eq!(text(&State::Restarting(exit), at(10)), "Restarting (137) 2 seconds ago");
        assert_eq!(text(&State::Dead { exit: None }, at(0)), "Dead");
    }

    #[test]
    fn health_is_shown_of_what_runs() {
        let started_at = Timestamp::UNIX_EPOCH;
        let life = Life { pid: 7, started_at, last_finished_at: None };
        let shown = |state: &State, status| {
            let health = Health { status, ..Health::default() };
            text(state, Some(&health), started_at)
        };
        let runs = State::Running(life.clone());
        assert!(shown(&runs, HealthStatus::Starting).ends_with(" second (health: starting)"));
        assert!(shown(&runs, HealthStatus::Healthy).ends_with(" second (healthy)"));
        assert!(shown(&runs, HealthStatus::Unhealthy).ends_with(" second (unhealthy)"));
        assert!(shown(&State::Paused(life), HealthStatus::Healthy).ends_with(" second (Paused)"));
    }
}
