//! The input of one process: a pipe, or its terminal, that clients write to in turn.
//!
//! A process that doesn't read its input holds up who writes it, and no one else: every wait here
//! is the client's own.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, watch};

use crate::linux;

/// What clients write goes here, from before the process starts until after it has ended.
#[derive(Debug)]
pub(crate) struct Stdin {
    slot: watch::Sender<Slot>,
    /// Writers take turns, so that what one client sends at a time stays together.
    turn: Mutex<()>,
}

#[derive(Debug, Clone)]
enum Slot {
    /// The process isn't there yet.
    Pending,
    /// Its end to write to.
    Open(Arc<AsyncFd<OwnedFd>>),
    /// Its terminal: written to, but it has no end of input that we could make.
    Terminal(Arc<AsyncFd<OwnedFd>>),
    /// Nothing can be written any more.
    Closed,
}

impl Stdin {
    /// Input of a process that isn't there yet.
    pub(crate) fn pending() -> Arc<Self> {
        Arc::new(Stdin { slot: watch::Sender::new(Slot::Pending), turn: Mutex::new(()) })
    }

    /// The process is there: `pipe` is its input. It is in non-blocking mode.
    pub(crate) fn open(&self, pipe: OwnedFd) -> io::Result<()> {
        let pipe = linux::watch(pipe, Interest::WRITABLE)?;
        self.slot.send_replace(Slot::Open(Arc::new(pipe)));
        Ok(())
    }

    /// The process is there: it reads from `terminal`.
    pub(crate) fn open_terminal(&self, terminal: Arc<AsyncFd<OwnedFd>>) {
        self.slot.send_replace(Slot::Terminal(terminal));
    }

    /// Writes all of `data`, as fast as the process reads. What a process that has closed its
    /// input would have read is dropped.
    pub(crate) async fn write(&self, mut data: &[u8]) {
        let _turn = self.turn.lock().await;
        let mut slot = self.slot.subscribe();
        while !data.is_empty() {
            let current = slot.borrow_and_update().clone();
            let written = match current {
                Slot::Closed => return,
                Slot::Pending => {
                    if slot.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Slot::Open(fd) | Slot::Terminal(fd) => tokio::select! {
                    written = write_some(&fd, data) => written,
                    _ = slot.changed() => continue,
                },
            };
            match written {
                Ok(count) => data = data.get(count..).unwrap_or_default(),
                Err(_) => return self.close_now(),
            }
        }
    }

    /// Ends the process's input once what clients are writing is written. A terminal stays open.
    pub(crate) async fn close(&self) {
        let _turn = self.turn.lock().await;
        let mut slot = self.slot.subscribe();
        // What was written before the process was there comes first.
        let there = slot.wait_for(|slot| !matches!(slot, Slot::Pending)).await;
        if there.is_ok_and(|slot| matches!(*slot, Slot::Open(_))) {
            self.close_now();
        }
    }

    /// Ends the process's input: it has ended, or will never be.
    pub(crate) fn close_now(&self) {
        self.slot.send_replace(Slot::Closed);
    }
}

async fn write_some(fd: &AsyncFd<OwnedFd>, data: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = fd.writable().await?;
        match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), data)?)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Read;

    #[tokio::test]
    async fn what_is_written_early_arrives_then_the_end() {
        let stdin = Stdin::pending();
        let client = tokio::spawn({
            let stdin = Arc::clone(&stdin);
            async move {
                stdin.write(b"hello").await;
                stdin.close().await;
            }
        });
        tokio::task::yield_now().await;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        stdin.open(writer).unwrap();
        client.await.unwrap();
        let mut text = String::new();
        std::fs::File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn a_process_that_does_not_read_holds_up_only_the_writer() {
        let stdin = Stdin::pending();
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        stdin.open(writer).unwrap();
        let client = tokio::spawn({
            let stdin = Arc::clone(&stdin);
            async move { stdin.write(&vec![0; 1 << 20]).await }
        });
        tokio::task::yield_now().await;
        assert!(!client.is_finished());
        stdin.close_now();
        client.await.unwrap();
    }

    #[tokio::test]
    async fn writing_to_closed_input_is_no_error() {
        let stdin = Stdin::pending();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        stdin.open(writer).unwrap();
        drop(reader);
        stdin.write(b"x").await;
        stdin.write(b"y").await;
        stdin.close().await;
    }
}
