//! The word or two about a container's state that `docker ps` shows.

use jiff::Timestamp;
use tare_core::container::State;

use crate::time::since;

/// `Up 5 minutes`, `Exited (0) 2 seconds ago`, `Created`.
pub(super) fn text(state: &State, now: Timestamp) -> String {
    match state {
        State::Created { .. } => "Created".to_owned(),
        State::Running(life) => format!("Up {}", since(life.started_at, now)),
        State::Paused(life) => format!("Up {} (Paused)", since(life.started_at, now)),
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
        let life = Life { pid: 7, started_at: at(0) };
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
        assert_eq!(text(&State::Exited(exit), at(10)), "Exited (137) 2 seconds ago");
        assert_eq!(text(&State::Dead { exit: None }, at(0)), "Dead");
    }
}
