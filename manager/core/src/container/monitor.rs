//! What happens when a container has ended for its shim: what it had is taken down, its exit is
//! recorded, and whoever waits is told, in this order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tare_proto::record::ExitRecord;

use super::bundle::Bundle;
use super::entry::Entry;
use super::health::Health;
use super::options::RemoveOptions;
use super::record::Container;
use super::state::{Exit, State};
use super::supervise::{policy, tell_dropped};
use super::work::blocking;
use super::{Containers, announce, failure};
use crate::error::{Error, Kind, Result};
use crate::shim::{self, Ended, Shim, Target};

/// The exit code of a process whose end nobody saw: it was killed.
const KILLED: i64 = 128 + 9;

/// How an end became known.
pub(super) enum Ending {
    /// The shim told.
    Told(Ended, Shim),
    /// The shim has gone.
    Lost(Error),
    /// It ended while no manager ran; the shim may still be there.
    Found(Option<Shim>),
}

impl Containers {
    /// Brings a container that has ended for its shim to rest, or has it started again if that is
    /// to be and the shim can't. Its caller holds the container.
    pub(super) async fn settle_exit(self: &Arc<Self>, entry: &Arc<Entry>, ending: Ending) {
        let container = entry.container();
        if !container.state.is_running() {
            return;
        }
        let (told, lost, shim) = match ending {
            Ending::Told(ended, shim) => (Some(ended), None, Some(shim)),
            Ending::Lost(error) => (None, Some(error), None),
            Ending::Found(shim) => (None, None, shim),
        };
        if let Some(error) = &lost {
            tracing::warn!(container = %container.id, %error, "the shim has gone");
        }
        self.take_down(entry, &container, shim).await;
        entry.set_shim(None);
        self.end_execs(&container.id);

        let ended = match told {
            Some(ended) => ended,
            // The shim's record is there for whoever asks after it has gone.
            None => {
                let recorded = self.task_record(&container).await.and_then(|record| record.exit);
                exit_of(&container.state, recorded, lost.as_ref())
            }
        };
        tell_dropped(&container, &ended);
        let exit = ended.exit;
        let comes_back = entry.coming_back.load(Ordering::SeqCst);
        let again = !comes_back && policy::starts_again(&container, exit.code);
        let state = if again { State::Restarting } else { State::Exited };
        let ended = Arc::new(Container {
            state: state(exit.clone()),
            restart_count: container.restart_count.saturating_add(u32::from(again)),
            network: None,
            health: container.health.clone().map(Health::of_ended),
            ..(*container).clone()
        });
        if let Err(error) = self.save((*ended).clone()).await {
            // If this manager ends before it can, the shim's own record tells the next one.
            tracing::error!(container = %container.id, %error, "record the exit");
            self.save_later(container.id.clone());
        }
        // One that waited to be started again has ended before.
        if container.state.life().is_some() {
            announce::ended(&self.events, &ended, &exit);
        }
        entry.publish_exit(ended);
        entry.clients.settled();
        if again {
            self.start_again_later(entry);
        }
    }

    /// Removes what is to be removed when it ends.
    pub(super) async fn remove_if_wished(self: &Arc<Self>, entry: &Arc<Entry>) {
        let container = entry.container();
        let comes_back = entry.coming_back.load(Ordering::SeqCst);
        if container.host.auto_remove && !comes_back && matches!(container.state, State::Exited(_))
        {
            self.remove_logged(entry, RemoveOptions { force: true, volumes: true }).await;
        }
    }

    /// Takes down all that a running container has, past whatever fails.
    async fn take_down(
        self: &Arc<Self>,
        entry: &Entry,
        container: &Arc<Container>,
        shim: Option<Shim>,
    ) {
        let deleted = match &shim {
            Some(shim) => {
                let outcome = shim.delete(Target::Init).await.map(drop);
                let deleted = outcome.is_ok();
                // An earlier manager may have done that as its last.
                if !matches!(&outcome, Err(error) if error.kind() == Kind::NotFound) {
                    log(container, "delete the task", outcome);
                }
                deleted
            }
            None => false,
        };
        let id = container.id.as_str();
        log(container, "disconnect from the networks", self.networks.disconnect(id).await);
        for endpoint in container.network.iter().flat_map(|sandbox| &sandbox.endpoints) {
            self.events.publish(announce::network_event(container, endpoint, "disconnect"));
        }
        announce::unmounted(&self.events, container);
        if shim.is_some() {
            entry.clients.take_over().await;
        }
        self.end_shim(container, shim, deleted).await;
    }

    /// Ends the shim, or cleans up after one that has gone; then its bundle goes.
    async fn end_shim(&self, container: &Container, shim: Option<Shim>, deleted: bool) {
        let bundle = Bundle::of(&self.config, &container.id);
        let mut orderly = deleted;
        if let Some(shim) = shim {
            log(container, "end the shim", shim.shut_down().await);
            orderly &= shim.has_left();
        }
        if !orderly && bundle.path.exists() {
            log(container, "clean up after the shim", self.clean_up(container, &bundle).await);
        }
        log(container, "take the bundle away", blocking(move || bundle.remove()).await);
        if container.volumes().next().is_some() {
            let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
            let unmounted = blocking(move || volumes.unmount(id.as_str())).await;
            log(container, "unmount the volumes", unmounted);
        }
    }

    /// Lets the shim's program kill and take away what a shim that has gone left.
    pub(super) async fn clean_up(&self, container: &Container, bundle: &Bundle) -> Result<()> {
        let sockets = self.config.socket_directory();
        shim::clean_up(&self.config.shim, container.id.as_str(), &bundle.path, &sockets).await
    }
}

fn log(container: &Container, what: &'static str, outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(container = %container.id, %error, "{what}");
    }
}

/// How a container in `state` ended of which its shim tells nothing any more.
fn exit_of(state: &State, recorded: Option<ExitRecord>, lost: Option<&Error>) -> Ended {
    let started_at = match state {
        // It had ended before its shim went.
        State::Restarting(exit) if recorded.is_none() => {
            return Ended { exit: exit.clone(), dropped_lines: 0 };
        }
        State::Restarting(exit) => exit.started_at,
        state => state.life().map_or_else(Timestamp::now, |life| life.started_at),
    };
    if let Some(recorded) = recorded {
        let dropped_lines = recorded.dropped_lines;
        return Ended { exit: exit_on_record(recorded, started_at), dropped_lines };
    }
    let why = lost.map_or_else(String::new, |error| format!(": {error}"));
    let error = format!("the shim ended before its container{why}");
    Ended { exit: Exit { error, ..unseen_exit(started_at) }, dropped_lines: 0 }
}

/// An end that the shim has put on record.
fn exit_on_record(recorded: ExitRecord, started_at: Timestamp) -> Exit {
    let code = match recorded.error.as_str() {
        "" => i64::from(recorded.status),
        reason => failure::code_of_missed_run(reason),
    };
    Exit {
        code,
        started_at,
        finished_at: recorded.exited_at.parse().unwrap_or_else(|_| Timestamp::now()),
        oom_killed: recorded.oom_killed,
        error: recorded.error,
    }
}

/// An end that nobody saw.
pub(super) fn unseen_exit(started_at: Timestamp) -> Exit {
    Exit {
        code: KILLED,
        started_at,
        finished_at: Timestamp::now(),
        oom_killed: false,
        error: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::Life;

    fn running() -> State {
        let started_at = Timestamp::UNIX_EPOCH;
        State::Running(Life { pid: 1, started_at, last_finished_at: None })
    }

    #[test]
    fn the_shims_record_is_a_good_witness() {
        let recorded = ExitRecord {
            status: 3,
            exited_at: "2024-01-02T03:04:05.6Z".to_owned(),
            oom_killed: true,
            dropped_lines: 7,
            ..ExitRecord::default()
        };
        let ended = exit_of(&running(), Some(recorded), None);
        assert_eq!((ended.exit.code, ended.exit.oom_killed, ended.dropped_lines), (3, true, 7));
        assert_eq!(ended.exit.finished_at.to_string(), "2024-01-02T03:04:05.6Z");
    }

    #[test]
    fn an_end_that_nobody_saw_says_so() {
        let exit = exit_of(&running(), None, Some(&Error::system("connection refused"))).exit;
        assert_eq!(exit.code, 137);
        assert!(exit.error.contains("connection refused"));
        let waits = State::Restarting(Exit { code: 5, ..exit });
        assert_eq!(exit_of(&waits, None, None).exit.code, 5);
    }
}
