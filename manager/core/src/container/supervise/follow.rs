//! Following what a shim does with its container: each change is recorded, shown and told.

use std::sync::Arc;

use super::step::{Before, Step};
use crate::container::entry::Entry;
use crate::container::health::{Health, HealthStatus};
use crate::container::monitor::{Ending, unseen_exit};
use crate::container::record::Container;
use crate::container::state::{Exit, Life, State};
use crate::container::{Containers, announce};
use crate::error::Kind;
use crate::memory;
use crate::shim::{Condition, Conditions, Ended, Shim};

/// Whether there is more to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    On,
    Nowhere,
}

impl Containers {
    /// Follows a container from `condition` on, until it has ended for good.
    pub(in crate::container) fn follow(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        shim: Shim,
        condition: Condition,
        conditions: Conditions,
    ) {
        let containers = Arc::clone(self);
        tokio::spawn(async move {
            containers.follow_to_the_end(&entry, &shim, condition, conditions).await;
            Box::pin(containers.remove_if_wished(&entry)).await;
        });
    }

    async fn follow_to_the_end(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        shim: &Shim,
        mut condition: Condition,
        mut conditions: Conditions,
    ) {
        let ending = loop {
            // What is done about a condition is set aside: it takes more memory than all that waits for
            // the next, which is there for each container that runs.
            if Box::pin(self.take_in(entry, shim, condition)).await == Goes::Nowhere {
                return;
            }
            condition = match conditions.next().await {
                Ok(next) => next,
                Err(error) if error.kind() == Kind::NotFound => {
                    break Ending::Found(Some(shim.clone()));
                }
                Err(error) => break Ending::Lost(error),
            };
        };
        let _doing = entry.doing.lock().await;
        // It may have been given up on meanwhile, and been started again since.
        if entry.has_shim(shim) {
            Box::pin(self.settle_exit(entry, ending)).await;
        }
        memory::is_spare();
    }

    /// Takes in how a container is now.
    async fn take_in(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        shim: &Shim,
        condition: Condition,
    ) -> Goes {
        let _doing = entry.doing.lock().await;
        if !entry.has_shim(shim) {
            return Goes::Nowhere;
        }
        self.advance(entry, shim, condition).await
    }

    /// The same for whoever holds the container, and knows that `shim` is its own.
    pub(super) async fn advance(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        shim: &Shim,
        condition: Condition,
    ) -> Goes {
        let Condition { phase, restarts, health, last } = condition;
        let known = entry.container();
        match Step::of(&known.state, phase) {
            Step::Stay => self.show_health(entry, health),
            Step::Began { pid, started_at, before } => {
                if before == Before::MissedEnd {
                    let exit = last.unwrap_or_else(|| unseen_exit(started_at));
                    self.wait_again(entry, exit, restarts, None).await;
                }
                let last_finished_at = entry.container().state.last_finished_at();
                let life = Life { pid, started_at, last_finished_at };
                self.run_again(entry, life, restarts).await;
                self.show_health(entry, health);
            }
            Step::Waits { ended, before } => {
                self.catch_up(entry, &ended, before).await;
                tell_dropped(&known, &ended);
                self.wait_again(entry, ended.exit, restarts, health).await;
            }
            Step::FailedAgain(ended) => {
                tracing::warn!(container = %known.id, error = ended.exit.error, "start it again");
                let state = State::Restarting(ended.exit);
                let failed = Container { state, restart_count: restarts, ..(*known).clone() };
                self.record(entry, failed).await;
            }
            Step::Rests { ended, before } => {
                self.catch_up(entry, &ended, before).await;
                let counted = Container { restart_count: restarts, ..(*entry.container()).clone() };
                entry.publish(Arc::new(counted));
                self.settle_exit(entry, Ending::Told(ended, shim.clone())).await;
                return Goes::Nowhere;
            }
        }
        Goes::On
    }

    /// Tells of the start of a run of which only the end is seen, if it is one.
    async fn catch_up(self: &Arc<Self>, entry: &Entry, ended: &Ended, before: Before) {
        if before == Before::MissedStart {
            let known = entry.container();
            let started_at = ended.exit.started_at;
            let last_finished_at = known.state.last_finished_at();
            let life = Life { pid: 0, started_at, last_finished_at };
            self.run_again(entry, life, known.restart_count).await;
        }
    }

    /// A run has ended; another will begin.
    async fn wait_again(
        self: &Arc<Self>,
        entry: &Entry,
        exit: Exit,
        restarts: u32,
        health: Option<Health>,
    ) {
        let known = entry.container();
        self.end_execs(&known.id);
        let waits = Container {
            state: State::Restarting(exit.clone()),
            restart_count: restarts,
            health: health.or_else(|| known.health.clone()).map(Health::of_ended),
            ..(*known).clone()
        };
        let waits = self.record(entry, waits).await;
        announce::ended(&self.events, &waits, &exit);
        entry.publish_exit(waits);
        entry.clients.settled();
    }

    /// Another run has begun.
    async fn run_again(self: &Arc<Self>, entry: &Entry, life: Life, restarts: u32) {
        let known = entry.container();
        let runs = Container {
            state: State::Running(life),
            restart_count: restarts,
            health: known.health.as_ref().map(|_| Health::default()),
            ..(*known).clone()
        };
        let runs = self.record(entry, runs).await;
        announce::announce(&self.events, &runs, "start");
    }

    /// Shows what the probes have found, and tells of it if a probe has made it another than it was.
    /// It isn't written down by itself: the shim knows it.
    fn show_health(&self, entry: &Entry, health: Option<Health>) {
        let known = entry.container();
        if health.is_none() || health == known.health || known.state.life().is_none() {
            return;
        }
        let probe = |health: Option<&Health>| health?.probes.last().map(|probe| probe.started_at);
        let status = |health: Option<&Health>| health.map(|health| health.status);
        let (before, now) = (known.health.as_ref(), health.as_ref());
        let news = (status(before) != status(now) && probe(before) != probe(now))
            .then(|| status(now))
            .flatten();
        let shown = Arc::new(Container { health, ..(*known).clone() });
        entry.publish(Arc::clone(&shown));
        if let Some(status) = news.filter(|status| *status != HealthStatus::Starting) {
            announce::announce(&self.events, &shown, &format!("health_status: {status}"));
        }
    }

    /// Writes a record that is a copy of what the shim knows, and shows it. The shim's own is there
    /// if it can't be written.
    async fn record(&self, entry: &Entry, container: Container) -> Arc<Container> {
        let recorded = match self.save(container.clone()).await {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::error!(container = %container.id, %error, "record what the shim told");
                Arc::new(container)
            }
        };
        entry.publish(Arc::clone(&recorded));
        recorded
    }
}

/// Says that lines are missing, since nobody can read them.
pub(in crate::container) fn tell_dropped(container: &Container, ended: &Ended) {
    let (id, dropped) = (&container.id, ended.dropped_lines);
    if dropped > 0 {
        tracing::warn!(container = %id, dropped, "lines are missing in the log: its driver was too slow, or could not keep them");
    }
}
