//! Reading what a container wrote, from the files that its shim keeps: the current one and those
//! that were rotated away.

mod attributes;
mod files;
mod format;
mod place;
mod reader;
mod tag;
mod tail;
mod watch;

use futures_util::Stream;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Containers;
use super::id::ContainerId;
use super::options::{LogLine, LogOptions, OutputStream, WaitCondition};
use super::record::Container;
use super::state::State;
use super::work::blocking;
use crate::error::{Error, Kind, Result};
use reader::{Extent, Filter, Reader};

pub(super) use attributes::{attributes_of, check_selection};
pub(super) use place::Place;
pub(super) use tag::{check_tag, tag_of};
use watch::Changes;
pub(super) use watch::Watcher;

/// Lines that wait for a slow reader before the file is read on.
const BUFFERED: usize = 256;

impl Containers {
    /// Reads a container's log. A reader that follows gets what is written until the container
    /// ends, and isn't started again by its restart policy.
    ///
    /// # Errors
    /// Invalid if no stream is asked for, unsupported if the log driver keeps nothing.
    pub async fn logs(
        &self,
        id: &ContainerId,
        options: LogOptions,
    ) -> Result<impl Stream<Item = Result<LogLine>> + Send + use<>> {
        if !options.stdout && !options.stderr {
            return Err(Error::invalid("You must choose at least one stream"));
        }
        let entry = self.index.get(id)?;
        let container = entry.container();
        check(&container)?;
        let place = Place::of(&container).ok_or_else(|| {
            Error::new(Kind::Unsupported, "configured logging driver does not support reading")
        })?;
        // First the ear, then the eye: nothing is written unheard in between.
        let following = if options.follow && container.state.is_running() {
            let ended = entry.wait(WaitCondition::AtRest);
            Some((self.log_watcher.listen(&container.directory)?, ended))
        } else {
            None
        };
        let filter = Filter { since: options.since, until: options.until };
        let extent = if following.is_some() { Extent::Growing } else { Extent::UntilNow };
        let opening = move || Reader::open(place, filter, options.tail, extent);
        let reader = blocking(opening).await?;
        let (sender, receiver) = mpsc::channel(BUFFERED);
        let wanted = move |line: &LogLine| match line.stream {
            OutputStream::Stdout => options.stdout,
            OutputStream::Stderr => options.stderr,
        };
        tokio::spawn(async move {
            let mut teller = Teller { reader: Some(reader), sender: sender.clone(), wanted };
            let told = async {
                match following {
                    None => teller.tell_all().await.map(drop),
                    Some((changes, ended)) => {
                        teller.follow(changes, options.until, async { drop(ended.await) }).await
                    }
                }
            };
            let outcome = tokio::select! {
                outcome = told => outcome,
                () = sender.closed() => Ok(()),
            };
            if let Err(error) = outcome {
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

fn check(container: &Container) -> Result<()> {
    match container.state {
        State::Removing { .. } | State::Dead { .. } => Err(Error::conflict(
            "can not get logs from container which is dead or marked for removal",
        )),
        _ => Ok(()),
    }
}

/// Carries lines from the files to whoever asked.
struct Teller<W> {
    /// Away while a thread reads with it.
    reader: Option<Reader>,
    sender: mpsc::Sender<Result<LogLine>>,
    wanted: W,
}

impl<W: Fn(&LogLine) -> bool> Teller<W> {
    /// Tells all that there is now; whether more may come.
    async fn tell_all(&mut self) -> Result<bool> {
        loop {
            let Some(mut reader) = self.reader.take() else { return Ok(false) };
            let (batch, reader) = blocking(move || Ok((reader.batch()?, reader))).await?;
            let done = reader.is_past_end();
            self.reader = Some(reader);
            let nothing = batch.is_empty();
            for line in batch.into_iter().filter(&self.wanted) {
                if self.sender.send(Ok(line)).await.is_err() {
                    return Ok(false);
                }
            }
            if done || nothing {
                return Ok(!done);
            }
        }
    }

    /// Tells what there is and what comes, until `ended` or past `until`.
    async fn follow(
        &mut self,
        mut changes: Changes,
        until: Option<Timestamp>,
        ended: impl Future<Output = ()>,
    ) -> Result<()> {
        let mut ended = std::pin::pin!(ended);
        let mut late = std::pin::pin!(passes(until));
        loop {
            if !self.tell_all().await? {
                return Ok(());
            }
            tokio::select! {
                () = changes.next() => {}
                () = &mut ended => return self.tell_all().await.map(drop),
                () = &mut late => return self.tell_all().await.map(drop),
            }
        }
    }
}

/// Waits until a time has passed; for ever if there is none.
async fn passes(time: Option<Timestamp>) {
    match time {
        Some(time) => {
            let left = Timestamp::now().duration_until(time);
            let left = std::time::Duration::try_from(left).unwrap_or_default();
            tokio::time::sleep(left).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
