//! How long what clients ask for takes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::text::{Kind, Text};
use crate::api::Api;

/// The bounds in seconds that durations are counted below of.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Measures a request, unless it fails.
pub(crate) async fn timed(State(api): State<Api>, request: Request, next: Next) -> Response {
    let action = Action::of(request.method(), request.uri().path());
    let begun = Instant::now();
    let response = next.run(request).await;
    if let Some(action) = action
        && response.status().is_success()
    {
        api.timers.took(action, begun.elapsed());
    }
    response
}

/// What is measured: docker measures the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Changes,
    Commit,
    Create,
    Delete,
    Start,
}

impl Action {
    const ALL: [Self; 5] = [Self::Changes, Self::Commit, Self::Create, Self::Delete, Self::Start];

    /// What a request asks for, if that is measured.
    fn of(method: &Method, path: &str) -> Option<Self> {
        if (method, path) == (&Method::POST, "/commit") {
            return Some(Self::Commit);
        }
        let mut parts = path.strip_prefix("/containers/")?.split('/');
        match (method.as_str(), parts.next()?, parts.next(), parts.next()) {
            ("POST", "create", None, _) => Some(Self::Create),
            ("POST", _, Some("start"), None) => Some(Self::Start),
            ("GET", _, Some("changes"), None) => Some(Self::Changes),
            ("DELETE", _, None, _) => Some(Self::Delete),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Commit => "commit",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Start => "start",
        }
    }
}

/// The durations of each action.
#[derive(Debug, Default)]
pub(crate) struct Timers([Mutex<Durations>; Action::ALL.len()]);

/// How many there were, in all and below each bound.
#[derive(Debug, Default, Clone)]
struct Durations {
    below: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Timers {
    /// Takes note that an action took so long.
    fn took(&self, action: Action, duration: Duration) {
        let mut durations = self.of(action).lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = duration.as_secs_f64();
        for (below, bound) in durations.below.iter_mut().zip(BOUNDS) {
            *below += u64::from(seconds <= bound);
        }
        durations.count += 1;
        durations.seconds += seconds;
    }

    /// Writes all of them.
    pub(super) fn write(&self, text: &mut Text) {
        text.begin(
            "engine_daemon_container_actions_seconds",
            Kind::Histogram,
            "The number of seconds it takes to process each container action",
        );
        for action in Action::ALL {
            let durations = self.of(action).lock().unwrap_or_else(PoisonError::into_inner).clone();
            let label = ("action", action.name().to_owned());
            for (below, bound) in durations.below.iter().zip(BOUNDS) {
                text.part("_bucket", &[label.clone(), ("le", bound.to_string())], below);
            }
            let all = [label.clone(), ("le", "+Inf".to_owned())];
            text.part("_bucket", &all, durations.count);
            text.part("_sum", std::slice::from_ref(&label), durations.seconds);
            text.part("_count", &[label], durations.count);
        }
    }

    fn of(&self, action: Action) -> &Mutex<Durations> {
        &self.0[action as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_known_by_their_paths() {
        let of = |method: Method, path| Action::of(&method, path);
        assert_eq!(of(Method::POST, "/containers/create"), Some(Action::Create));
        assert_eq!(of(Method::POST, "/containers/web/start"), Some(Action::Start));
        assert_eq!(of(Method::DELETE, "/containers/web"), Some(Action::Delete));
        assert_eq!(of(Method::GET, "/containers/web/changes"), Some(Action::Changes));
        assert_eq!(of(Method::POST, "/commit"), Some(Action::Commit));
        assert_eq!(of(Method::GET, "/containers/json"), None);
        assert_eq!(of(Method::POST, "/containers/web/stop"), None);
    }

    #[test]
    fn durations_are_counted_below_their_bounds() {
        let timers = Timers::default();
        timers.took(Action::Start, Duration::from_millis(20));
        timers.took(Action::Start, Duration::from_secs(20));
        let mut text = Text::default();
        timers.write(&mut text);
        let text = text.finish();
        for line in [
            "_bucket{action=\"start\",le=\"0.01\"} 0\n",
            "_bucket{action=\"start\",le=\"0.025\"} 1\n",
            "_bucket{action=\"start\",le=\"+Inf\"} 2\n",
            "_sum{action=\"start\"} 20.02\n",
            "_count{action=\"start\"} 2\n",
            "_count{action=\"create\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
