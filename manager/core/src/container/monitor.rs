//! What happens when a container's process ends: its exit is recorded, what it had is taken down,
//! and whoever waits is told, in this order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tare_proto::record::ExitRecord;

use super::bundle::Bundle;
use super::entry::Entry;
use super::options::RemoveOptions;
use super::record::Container;
use super::state::{Exit, State};
use super::work::blocking;
use super::{Containers, announce};
use crate::error::{Error, Kind, Result};
use crate::shim::{self, Shim, Target, TaskExit};

/// The exit code of a process whose end nobody saw: it was killed.
const KILLED: i64 = 128 + 9;

/// How an end became known.
pub(super) enum Ending {
    /// The shim told.
    Told(TaskExit, Shim),
    /// The shim has gone.
    Lost(Error),
    /// It ended while no manager ran; the shim may still be there.
    Found(Option<Shim>),
}

impl Containers {
    /// Waits for the end of a container's process, and sees to what follows.
    pub(super) fn watch(self: &Arc<Self>, entry: Arc<Entry>, shim: Shim) {
        let containers = Arc::clone(self);
        let watched = entry.container().state.life().cloned();
        tokio::spawn(async move {
            let ending = match shim.wait(Target::Init).await {
                Ok(exit) => Ending::Told(exit, shim),
                Err(error) if error.kind() == Kind::NotFound => Ending::Found(Some(shim)),
                Err(error) => Ending::Lost(error),
            };
            let doing = entry.doing.lock().await;
            // It may have been given up on meanwhile, and been started again since.
            if entry.container().state.life() == watched.as_ref() {
                containers.settle_exit(&entry, ending).await;
            }
            drop(doing);
            containers.remove_if_wished(&entry).await;
        });
    }

    /// Brings a container whose process has ended to rest. Its caller holds the container.
    pub(super) async fn settle_exit(self: &Arc<Self>, entry: &Entry, ending: Ending) {
        let container = entry.container();
        let Some(life) = container.state.life().cloned() else { return };
        let (told, lost, shim) = match ending {
            Ending::Told(exit, shim) => (Some(exit), None, Some(shim)),
            Ending::Lost(error) => (None, Some(error), None),
            Ending::Found(shim) => (None, None, shim),
        };
        if let Some(error) = &lost {
            tracing::warn!(container = %container.id, %error, "the shim has gone");
        }
        self.take_down(entry, &container, shim).await;
        entry.set_shim(None);
        self.end_execs(&container.id);

        // The shim's record is durable before anyone is told, and knows more than the answer.
        let recorded = self.task_record(&container).await.and_then(|record| record.exit);
        if let Some(dropped) = recorded.as_ref().map(|exit| exit.dropped_lines).filter(|n| *n > 0) {
            let id = &container.id;
            tracing::warn!(container = %id, dropped, "lines are missing in the log: its driver was too slow, or could not keep them");
        }
        let exit = exit_of(recorded, told, lost.as_ref(), life.started_at);
        let ended = Arc::new(Container {
            state: State::Exited(exit.clone()),
            network: None,
            ..(*container).clone()
        });
        if let Err(error) = self.save((*ended).clone()).await {
            // If this manager ends before it can, the shim's own record tells the next one.
            tracing::error!(container = %container.id, %error, "record the exit");
            self.save_later(container.id.clone());
        }
        if exit.oom_killed {
            announce::announce(&self.events, &ended, "oom");
        }
        let seconds = exit.finished_at.duration_since(exit.started_at).as_secs().max(0);
        let die = announce::event(&ended, "die")
            .with("exitCode", exit.code.to_string())
            .with("execDuration", seconds.to_string());
        self.events.publish(die);
        entry.publish_exit(ended);
        entry.clients.settled();
    }

    /// Removes what is to be removed when it ends.
    pub(super) async fn remove_if_wished(self: &Arc<Self>, entry: &Arc<Entry>) {
        let container = entry.container();
        let comes_back = entry.restarting.load(Ordering::SeqCst);
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
        log(container, "disconnect from the network", self.networks.disconnect(id).await);
        if let Some(endpoint) = &container.network {
            self.events.publish(announce::network_event(endpoint, "disconnect"));
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

/// How a container ended, by the best witness there is.
fn exit_of(
    recorded: Option<ExitRecord>,
    told: Option<TaskExit>,
    lost: Option<&Error>,
    started_at: Timestamp,
) -> Exit {
    let blank = Exit {
        code: KILLED,
        started_at,
        finished_at: Timestamp::now(),
        oom_killed: false,
        error: String::new(),
    };
    match (recorded, told) {
        (Some(recorded), _) => Exit {
            code: i64::from(recorded.status),
            finished_at: recorded.exited_at.parse().unwrap_or(blank.finished_at),
            oom_killed: recorded.oom_killed,
            ..blank
        },
        (None, Some(told)) => Exit { code: i64::from(told.status), finished_at: told.at, ..blank },
        (None, None) => {
            let why = lost.map_or_else(String::new, |error| format!(": {error}"));
            Exit { error: format!("the shim ended before its container{why}"), ..blank }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn the_shims_record_is_the_best_witness() {
        let recorded = ExitRecord {
            status: 3,
            exited_at: "2024-01-02T03:04:05.6Z".to_owned(),
            oom_killed: true,
            ..ExitRecord::default()
        };
        let told = TaskExit { status: 4, at: Timestamp::now() };
        let exit = exit_of(Some(recorded), Some(told), None, START);
        assert_eq!((exit.code, exit.oom_killed), (3, true));
        assert_eq!(exit.finished_at.to_string(), "2024-01-02T03:04:05.6Z");
        assert_eq!(exit_of(None, Some(told), None, START).code, 4);
    }

    #[test]
    fn an_end_that_nobody_saw_says_so() {
        let exit = exit_of(None, None, Some(&Error::system("connection refused")), START);
        assert_eq!(exit.code, 137);
        assert!(exit.error.contains("connection refused"));
    }
}
