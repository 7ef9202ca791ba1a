//! Signals to containers, and what is made of them: stop, kill, restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::entry::{Entry, not_running};
use super::id::ContainerId;
use super::monitor::Ending;
use super::options::{StopOptions, WaitCondition};
use super::record::Container;
use super::signal::Signal;
use super::start::{Start, check_state};
use super::state::State;
use super::supervise::Wish;
use super::work::to_the_end;
use super::{Containers, announce};
use crate::error::{Error, Kind, Result};
use crate::shim::Target;

/// How long a killed process may take to go, and its end to get on a slow disk.
const KILL_PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to go if it couldn't even be sent a signal.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

impl Containers {
    /// Asks a container's process to end, and kills it if it doesn't in time.
    ///
    /// # Errors
    /// [`Kind::NotModified`] if it doesn't run.
    pub async fn stop(self: &Arc<Self>, id: &ContainerId, options: StopOptions) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            if !entry.container().state.is_running() {
                return Err(Error::new(Kind::NotModified, "container is already stopped"));
            }
            containers.stop_running(&entry, Wish::StayDown, options).await
        })
        .await
    }

    /// Sends a signal. SIGKILL is waited for.
    ///
    /// # Errors
    /// Conflict if the container doesn't run.
    pub async fn kill(self: &Arc<Self>, id: &ContainerId, signal: Signal) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            let container = entry.container_in_turn().await;
            if !container.state.is_running() {
                return Err(not_running(&container));
            }
            if signal == Signal::KILL {
                return containers.kill_and_wait(&entry).await;
            }
            // What asks it to end isn't to be answered by another start.
            if stop_signal(&container).is_ok_and(|stop| stop == signal) {
                containers.hold(&entry, Wish::StayDown).await?;
            }
            match &entry.container().state {
                // There is no process; docker finds nothing wrong with that either.
                State::Restarting(_) | State::Exited(_) => Ok(()),
                _ => containers.signal(&entry, signal).await,
            }
        })
        .await
    }

    /// Stops a container if it runs, and starts it.
    pub async fn restart(self: &Arc<Self>, id: &ContainerId, options: StopOptions) -> Result<()> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        to_the_end(async move {
            entry.coming_back.store(true, Ordering::SeqCst);
            let outcome = containers.stop_and_start(&entry, options).await;
            entry.coming_back.store(false, Ordering::SeqCst);
            if outcome.is_err() {
                containers.remove_if_wished(&entry).await;
            }
            outcome
        })
        .await
    }

    async fn stop_and_start(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        options: StopOptions,
    ) -> Result<()> {
        if entry.container().state.is_running() {
            self.stop_running(entry, Wish::ComeBack, options).await?;
        }
        let doing = entry.doing.lock().await;
        check_state(&entry.container().state)?;
        self.start_locked(entry, Start::ByUser).await?;
        drop(doing);
        announce::announce(&self.events, &entry.container(), "restart");
        Ok(())
    }

    async fn stop_running(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        wish: Wish,
        options: StopOptions,
    ) -> Result<()> {
        self.hold(entry, wish).await?;
        let container = entry.container();
        if container.state.is_running() {
            self.ask_to_end(entry, &container, options).await?;
        }
        announce::announce(&self.events, &entry.container(), "stop");
        Ok(())
    }

    /// Sends the stop signal, and kills what doesn't end in time.
    async fn ask_to_end(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        container: &Container,
        options: StopOptions,
    ) -> Result<()> {
        let signal = match options.signal {
            Some(signal) => signal,
            None => stop_signal(container)?,
        };
        let patience = self.patience(container, options.timeout);
        let stopped = entry.wait(WaitCondition::AtRest);
        let asked = self.signal(entry, signal).await;
        let patience = match &asked {
            Ok(()) => patience,
            // It may be about to end, which is why it couldn't be reached.
            Err(error) => {
                tracing::warn!(container = %container.id, %error, "send the stop signal");
                Some(SHORT_PATIENCE)
            }
        };
        let ended = match patience {
            None => stopped.await.is_ok(),
            Some(patience) => tokio::time::timeout(patience, stopped).await.is_ok(),
        };
        if ended { Ok(()) } else { self.kill_held(entry).await }
    }

    /// Kills for good, and waits until the exit is recorded. It is no error if it ends by itself.
    pub(super) async fn kill_and_wait(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        self.hold(entry, Wish::StayDown).await?;
        self.kill_held(entry).await
    }

    async fn kill_held(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        let stopped = entry.wait(WaitCondition::AtRest);
        if !entry.container().state.is_running() {
            return Ok(());
        }
        let sent = self.signal(entry, Signal::KILL).await;
        let patience = if sent.is_ok() { KILL_PATIENCE } else { SHORT_PATIENCE };
        if tokio::time::timeout(patience, stopped).await.is_ok() {
            return Ok(());
        }
        match sent {
            Err(error) if error.kind() == Kind::Unavailable => {
                self.give_up_on_shim(entry, error).await;
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                Err(Error::system("tried to kill container, but did not receive an exit event"))
            }
        }
    }

    /// Ends a container without its shim, which doesn't answer.
    async fn give_up_on_shim(self: &Arc<Self>, entry: &Arc<Entry>, why: Error) {
        let _doing = entry.doing.lock().await;
        self.settle_exit(entry, Ending::Lost(why)).await;
    }

    /// Sends a signal to the container's process.
    async fn signal(&self, entry: &Entry, signal: Signal) -> Result<()> {
        let _doing = entry.doing.lock().await;
        let container = entry.container();
        let shim = entry.shim()?;
        shim.kill(Target::Init, signal.number(), false).await.map_err(|error| {
            error.while_doing(format!("Cannot kill container {}", container.id))
        })?;
        let event = announce::event(&container, "kill").with("signal", signal.number().to_string());
        self.events.publish(event);
        // A frozen process doesn't see the signal that is to end it.
        if let State::Paused(life) = &container.state
            && (signal == Signal::KILL || stop_signal(&container).is_ok_and(|stop| stop == signal))
        {
            shim.resume().await?;
            let state = State::Running(life.clone());
            entry.publish(self.save(Container { state, ..(*container).clone() }).await?);
            announce::announce(&self.events, &container, "unpause");
        }
        Ok(())
    }

    /// How long to wait after the stop signal; `None`: for ever.
    fn patience(&self, container: &Container, asked: Option<i64>) -> Option<Duration> {
        let seconds = asked
            .or(container.config.stop_timeout)
            .unwrap_or_else(|| i64::from(self.config.live().stop_timeout));
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

/// The signal that asks a container to end.
fn stop_signal(container: &Container) -> Result<Signal> {
    container.config.stop_signal.as_deref().map_or(Ok(Signal::TERM), str::parse)
}
