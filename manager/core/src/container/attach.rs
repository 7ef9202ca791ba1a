//! Clients at a container's standard streams.

use std::sync::Arc;

use tokio_stream::StreamExt;

use super::attachment::{self, Attachment, Peer};
use super::backlog::{Joined, Terms};
use super::entry::{Client, Entry};
use super::host_config::TerminalSize;
use super::id::ContainerId;
use super::options::{AttachOptions, ExitOutcome, LogOptions, Output, OutputStream, WaitCondition};
use super::state::State;
use super::work::to_the_end;
use super::{Containers, announce};
use crate::error::{Error, Result};
use crate::shim::{Target, Wanted};

impl Containers {
    /// Connects a client to a container's standard streams. If it doesn't run, the client waits
    /// for its next start and then gets every byte.
    ///
    /// # Errors
    /// Conflict if the container is paused, or waits to be started again.
    pub async fn attach(
        self: &Arc<Self>,
        id: &ContainerId,
        options: AttachOptions,
    ) -> Result<Attachment> {
        let entry = self.index.get(id)?;
        let container = entry.container();
        match container.state {
            State::Paused(_) => {
                return Err(Error::conflict(format!(
                    "container {id} is paused, unpause the container before attach"
                )));
            }
            State::Restarting(_) => {
                return Err(Error::conflict(format!(
                    "container {id} is restarting, wait until the container is running"
                )));
            }
            _ => {}
        }
        let (attachment, peer) = attachment::pair(container.config.tty);
        let wanted = Wanted {
            stdin: options.stdin && container.config.open_stdin,
            stdout: options.stdout,
            stderr: options.stderr,
        };
        announce::announce(&self.events, &container, "attach");
        if options.logs {
            let logs = self.logs(id, past(wanted)).await?;
            let containers = Arc::clone(self);
            tokio::spawn(async move {
                let told = tell_past(logs, &peer).await;
                if told && options.stream {
                    containers.join_streams_logged(&entry, wanted, peer).await;
                }
            });
        } else if options.stream {
            let containers = Arc::clone(self);
            to_the_end(async move { containers.join_streams(&entry, wanted, peer).await }).await?;
        }
        Ok(attachment)
    }

    async fn join_streams_logged(&self, entry: &Entry, wanted: Wanted, peer: Peer) {
        if let Err(error) = self.join_streams(entry, wanted, peer).await {
            tracing::warn!(container = %entry.container().id, %error, "attach");
        }
    }

    async fn join_streams(&self, entry: &Entry, wanted: Wanted, peer: Peer) -> Result<()> {
        // A start holds the container: we come before it, and are taken along, or after it.
        let _doing = entry.doing.lock().await;
        if !entry.container().state.is_running() {
            entry.add_client(Client { wanted, peer });
            return Ok(());
        }
        let terms = Terms::of_container(&entry.container(), Joined::Later);
        let listening = entry.shim()?.attach(Target::Init, wanted, terms, peer).await?;
        entry.clients.carry(listening);
        Ok(())
    }

    /// Tells a container's terminal its size.
    ///
    /// # Errors
    /// Conflict if it doesn't run.
    pub async fn resize(&self, id: &ContainerId, size: TerminalSize) -> Result<()> {
        let entry = self.index.get(id)?;
        entry.shim()?.resize(Target::Init, size.height, size.width).await?;
        let event = announce::event(&entry.container(), "resize")
            .with("height", size.height.to_string())
            .with("width", size.width.to_string());
        self.events.publish(event);
        Ok(())
    }

    /// Waits for a container; counts from the call on, not from when the future is first polled.
    pub fn wait(
        &self,
        id: &ContainerId,
        condition: WaitCondition,
    ) -> Result<impl Future<Output = Result<ExitOutcome>> + Send + use<>> {
        let woken = self.index.get(id)?.wait(condition);
        Ok(async move {
            woken.await.map_err(|_| Error::system("the wait was broken off: tared is ending"))
        })
    }
}

/// All that the log has of what is wanted.
fn past(wanted: Wanted) -> LogOptions {
    LogOptions { stdout: wanted.stdout, stderr: wanted.stderr, ..LogOptions::default() }
}

/// Sends the log to the client; whether it is still there.
async fn tell_past(
    logs: impl futures_util::Stream<Item = Result<super::options::LogLine>>,
    peer: &Peer,
) -> bool {
    let mut logs = std::pin::pin!(logs);
    while let Some(line) = logs.next().await {
        let output = match line {
            Ok(line) => match line.stream {
                OutputStream::Stdout => Output::Stdout(line.bytes),
                OutputStream::Stderr => Output::Stderr(line.bytes),
            },
            Err(error) => {
                tracing::warn!(%error, "read the log for an attached client");
                break;
            }
        };
        if peer.output.send(output).await.is_err() {
            return false;
        }
    }
    true
}
