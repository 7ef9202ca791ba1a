//! Taking over what an earlier manager left: containers that run on, ends that nobody recorded,
//! and the remains of what it was in the middle of.
//!
//! A record says Running only after the process was let go, and everything that a start makes is
//! found by the container's id. So whatever belongs to a container that is not said to run is left
//! over, and goes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::bundle::Bundle;
use super::entry::Entry;
use super::id::ContainerId;
use super::monitor::Ending;
use super::options::RemoveOptions;
use super::record::Container;
use super::state::{Life, State};
use super::supervise::policy;
use super::work::blocking;
use super::{Containers, RECORDS};
use crate::error::{Error, Kind, Result};
use crate::shim::{Address, Condition, Conditions, Phase, Shim, clean_up};

/// How long the opening waits for shims. One that needs longer is taken over when it answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long between two attempts to reach a shim that is there but doesn't answer.
const RETRY: Duration = Duration::from_secs(5);

/// What has become of a container that is said to run.
enum Found {
    /// Its shim has it, and tells how it is.
    There(Shim, Box<Condition>, Conditions),
    /// It has ended; the shim may still be there.
    Ended(Option<Shim>),
}

impl Containers {
    /// Loads the records and takes over what they name; sweeps what no record names.
    pub(super) async fn take_over(self: &Arc<Self>) -> Result<()> {
        let store = Arc::clone(&self.store);
        let records = blocking(move || store.list::<Container>(&RECORDS)).await?;
        for (_, container) in records {
            for (_, volume, _) in container.volumes() {
                self.volumes.hold(container.id.as_str(), volume);
                if container.state.is_running() {
                    self.volumes.keep_mounted(container.id.as_str(), volume);
                }
            }
            self.index.insert(Arc::new(Entry::new(container)));
        }
        let mut takeovers = tokio::task::JoinSet::new();
        for entry in self.index.all() {
            let containers = Arc::clone(self);
            match &entry.container().state {
                State::Running(_) | State::Paused(_) | State::Restarting(_) => {
                    takeovers.spawn(async move { containers.take_over_running(entry).await });
                }
                // Half-removed: the removal goes on.
                State::Removing { .. } | State::Dead { .. } => {
                    takeovers.spawn(async move { containers.finish_removal(entry).await });
                }
                State::Exited(_) | State::Created { .. } => {}
            }
        }
        let all = async { while takeovers.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(waiting = takeovers.len(), "some shims don't answer yet; going on");
        }
        takeovers.detach_all();
        self.sweep().await;
        self.start_with_manager();
        self.remove_ended().await;
        self.taken_over.send_replace(true);
        Ok(())
    }

    /// Has those started that are to run when a manager does. Until then they are shown as waiting for
    /// that.
    fn start_with_manager(self: &Arc<Self>) {
        for entry in self.index.all() {
            let container = entry.container();
            if let State::Exited(exit) = &container.state
                && policy::starts_with_manager(&container)
            {
                let state = State::Restarting(exit.clone());
                let waits = Container { state, restart_count: 0, ..(*container).clone() };
                entry.publish(Arc::new(waits));
                self.start_again_later(&entry);
            }
        }
    }

    /// Removes what was to go with its end, or with a start that failed, and whose manager ended in
    /// between.
    async fn remove_ended(self: &Arc<Self>) {
        let options = RemoveOptions { force: false, volumes: true };
        let removals = self.index.all().into_iter().filter_map(|entry| {
            let container = entry.container();
            let rests = matches!(container.state, State::Exited(_) | State::Created { .. });
            let containers = Arc::clone(self);
            (rests && container.host.auto_remove)
                .then_some(async move { containers.remove_logged(&entry, options).await })
        });
        futures_util::future::join_all(removals).await;
    }

    /// Takes over a container that is said to run. One whose shim doesn't answer is tried again and
    /// again; in between, others may do what they can about it.
    async fn take_over_running(self: Arc<Self>, entry: Arc<Entry>) {
        loop {
            let doing = entry.doing.lock().await;
            let container = entry.container();
            if !container.state.is_running() {
                break;
            }
            match self.reach(&entry, &container).await {
                Ok(Found::There(shim, condition, conditions)) => {
                    self.go_on(&entry, shim, *condition, conditions).await;
                    break;
                }
                Ok(Found::Ended(shim)) => {
                    self.settle_exit(&entry, Ending::Found(shim)).await;
                    break;
                }
                Err(error) => {
                    tracing::warn!(container = %container.id, %error, "the shim doesn't answer");
                }
            }
            drop(doing);
            tokio::time::sleep(RETRY).await;
        }
        self.remove_if_wished(&entry).await;
    }

    /// Looks what has become of a container.
    ///
    /// # Errors
    /// Its shim is there and doesn't answer.
    async fn reach(&self, entry: &Entry, container: &Container) -> Result<Found> {
        let bundle = Bundle::of(&self.config, &container.id);
        let Ok(address) = Address::load(&bundle.path) else { return Ok(Found::Ended(None)) };
        let shim = Shim::at(container.id.as_str(), &address);
        // Whoever wants to kill it needs this, whether it answers us or not.
        entry.set_shim(Some(shim.clone()));
        let outcome = match shim.follow().await {
            // A start was broken off.
            Ok((Condition { phase: Phase::Created, .. }, _)) => {
                return Ok(Found::Ended(Some(shim)));
            }
            Ok((condition, conditions)) => {
                return Ok(Found::There(shim, Box::new(condition), conditions));
            }
            Err(error) if error.kind() == Kind::NotFound => {
                return Ok(Found::Ended(Some(shim)));
            }
            Err(error) => error,
        };
        if is_gone(&address).await {
            tracing::warn!(container = %container.id, error = %outcome, "the shim has gone");
            return Ok(Found::Ended(None));
        }
        Err(outcome)
    }

    /// Goes on where the earlier manager stopped. What happened since then is shown, but not told: it
    /// has happened. That manager may have died before it told the shim what it had written down.
    async fn go_on(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        shim: Shim,
        condition: Condition,
        conditions: Conditions,
    ) {
        entry.set_shim(Some(shim.clone()));
        if entry.container().frozen_for_commit
            && let Err(error) = shim.resume().await
        {
            // That manager may have died before it froze it, or after it let it go on.
            let id = &entry.container().id;
            tracing::info!(container = %id, %error, "let a container go on after a commit");
        }
        let found = found(&self.with_real_networks(&entry.container()).await, &condition);
        entry.publish(Arc::new(found));
        let policy = policy::of_shim(&entry.container());
        if let Err(error) = shim.set_restart_policy(policy).await {
            let id = &entry.container().id;
            tracing::warn!(container = %id, %error, "tell the shim when to start it again");
        }
        self.follow(Arc::clone(entry), shim, condition, conditions);
    }

    /// Takes away what belongs to no container that runs, past whatever fails.
    async fn sweep(&self) {
        let entries = self.index.all();
        let containers: Vec<_> = entries.iter().map(|entry| entry.container()).collect();
        let all: HashSet<String> = containers.iter().map(|c| c.id.to_string()).collect();
        let snapshots: HashSet<String> =
            containers.iter().flat_map(|c| c.snapshots()).map(str::to_owned).collect();
        let volumes = Arc::clone(&self.volumes);
        let running: HashSet<String> = containers
            .iter()
            .filter(|container| container.state.is_running())
            .map(|container| container.id.to_string())
            .collect();
        let outcomes = [
            self.sweep_steps().await,
            self.sweep_bundles(&running).await,
            self.networks.retain(&running).await,
            self.images.snapshots().retain(&snapshots).await,
            blocking(move || volumes.unmount_unneeded()).await,
            self.sweep_directories(all).await,
        ];
        for error in outcomes.into_iter().filter_map(Result::err) {
            tracing::error!(%error, "sweep what an earlier tared left");
        }
    }

    /// Commands of builds are nobody's now.
    async fn sweep_steps(&self) -> Result<()> {
        let names = names_in(self.config.step_root()).await?;
        // What is named otherwise is the runtime's own.
        let left = names.iter().filter(|name| ContainerId::is_one(name));
        futures_util::future::join_all(left.map(|name| self.kill_step(name))).await;
        Ok(())
    }

    async fn sweep_bundles(&self, running: &HashSet<String>) -> Result<()> {
        let names = names_in(self.config.exec_root.join("containers")).await?;
        let left = names.into_iter().filter(|name| !running.contains(name));
        // Side by side: one that takes its time costs no more than that.
        futures_util::future::join_all(left.map(|name| self.sweep_bundle(name))).await;
        Ok(())
    }

    async fn sweep_bundle(&self, name: String) {
        tracing::info!(container = name, "take away what a broken-off start left");
        let bundle = Bundle { path: self.config.bundle_directory(&name) };
        let sockets = self.config.socket_directory();
        let ending = async {
            if let Ok(address) = Address::load(&bundle.path) {
                // What it can't do, the clean-up does.
                let _ = Shim::at(&name, &address).end().await;
            }
        };
        if tokio::time::timeout(PATIENCE, ending).await.is_err() {
            tracing::warn!(container = name, "the shim of a broken-off start does not answer");
        }
        if let Err(error) = clean_up(&self.config.shim, &name, &bundle.path, &sockets).await {
            tracing::error!(container = name, %error, "clean up after a broken-off start");
        }
        if let Err(error) = blocking(move || bundle.remove()).await {
            tracing::error!(container = name, %error, "take a bundle away");
        }
    }

    async fn sweep_directories(&self, known: HashSet<String>) -> Result<()> {
        for name in names_in(self.config.data_root.join("containers")).await? {
            if !known.contains(&name) {
                let directory = self.config.container_directory(&name);
                blocking(move || super::create::remove_directory(&directory)).await?;
            }
        }
        Ok(())
    }
}

/// A container as its shim has it now.
fn found(container: &Container, condition: &Condition) -> Container {
    let last = condition.last.as_ref().map(|exit| exit.finished_at);
    // What the shim doesn't know was before its first run.
    let last_finished_at = last.or_else(|| container.state.last_finished_at());
    let state = match (&condition.phase, &container.state) {
        (Phase::Running { pid, started_at }, state) => {
            let life = Life { pid: *pid, started_at: *started_at, last_finished_at };
            match state {
                // Only we freeze it: it is so still, if it is the same. For a commit, it has just
                // been let go on.
                State::Paused(frozen)
                    if frozen.started_at == *started_at && !container.frozen_for_commit =>
                {
                    State::Paused(life)
                }
                _ => State::Running(life),
            }
        }
        (Phase::Waiting(ended), _) => State::Restarting(ended.exit.clone()),
        // Its end is still to be recorded, and to be told.
        (Phase::Created | Phase::Ended(_), state) => state.clone(),
    };
    Container {
        state,
        frozen_for_commit: false,
        restart_count: condition.restarts,
        health: condition.health.clone().or_else(|| container.health.clone()),
        ..container.clone()
    }
}

/// Whether nobody listens at `address` any more, as against one that listens and doesn't answer.
async fn is_gone(address: &Address) -> bool {
    use std::io::ErrorKind;
    // A shim that takes no connections makes others wait for room, but not us.
    match tokio::net::UnixStream::connect(address.socket()).await {
        Ok(_) => false,
        Err(error) => {
            matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
        }
    }
}

/// The names in a directory; none if there is no such directory.
async fn names_in(directory: std::path::PathBuf) -> Result<Vec<String>> {
    blocking(move || match std::fs::read_dir(&directory) {
        Ok(entries) => {
            Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("read {}", directory.display()), error)),
    })
    .await
}
