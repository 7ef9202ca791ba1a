//! Moves one stream's output from the process to its sinks.
//!
//! All that the process wrote before it ended is in the pipe when its end is noticed. But others
//! that it left behind may hold the pipe open, so after that the pump doesn't wait for its end:
//! it takes what is there and a little of what follows, and declares the stream complete. It still
//! reads on, to nowhere, so that a daemon that the process left behind isn't killed by SIGPIPE.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::sink::Sinks;
use crate::memory;

/// How much is read at once: a little at first, as most output is a line now and then; more, up to
/// what a pipe holds, while there is more.
const FIRST_CHUNK: usize = 4 << 10;
const LARGEST_CHUNK: usize = super::pipes::CAPACITY;
/// So much memory is not only kept for later output when it is free, but given back.
const BURST: usize = 64 << 10;
/// Silence of a pipe that others hold open, after which the stream is complete.
const IDLE: Duration = Duration::from_millis(50);
/// How long such a pipe is listened to at most.
const LINGER: Duration = Duration::from_millis(500);

/// Runs until the stream ends. `ended` turns true when the process has ended; `complete` is dropped
/// when its output has reached the sinks.
pub(crate) async fn run(
    source: Arc<AsyncFd<OwnedFd>>,
    mut sinks: Sinks,
    mut ended: watch::Receiver<bool>,
    complete: oneshot::Sender<()>,
) {
    let mut buffer = Buffer::default();
    let closed = loop {
        let read = tokio::select! {
            read = buffer.fill(&source) => read,
            _ = ended.wait_for(|ended| *ended) => break false,
        };
        match read {
            Some(data) => sinks.deliver(data).await,
            None => break true,
        }
        // A process that writes without end must not keep calls waiting: they share this thread.
        yield_now().await;
    };
    if !closed {
        drain(&source, &mut buffer, &mut sinks).await;
    }
    sinks.finish().await;
    drop(complete);
    if !closed {
        while buffer.fill(&source).await.is_some() {
            yield_now().await;
        }
    }
}

/// Takes what the ended process left in the pipe, and then listens a little longer.
async fn drain(source: &AsyncFd<OwnedFd>, buffer: &mut Buffer, sinks: &mut Sinks) {
    let mut left = rustix::io::ioctl_fionread(source.get_ref()).unwrap_or(0);
    let deadline = Instant::now() + LINGER;
    while left > 0 || Instant::now() < deadline {
        let Ok(Some(data)) = timeout(IDLE, buffer.fill(source)).await else { return };
        left = left.saturating_sub(data.len() as u64);
        sinks.deliver(data).await;
        yield_now().await;
    }
}

/// A chunk of output. Its memory is given back whenever the process falls silent.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// Waits for output; `None` at the end. Nothing is lost when the future is dropped.
    async fn fill(&mut self, source: &AsyncFd<OwnedFd>) -> Option<&[u8]> {
        loop {
            let mut ready = source.readable().await.ok()?;
            match ready.try_io(|source| self.read(source.get_ref())) {
                Ok(Ok(0)) => return None,
                Ok(Ok(_)) => return Some(&self.bytes),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // EIO is how a terminal says that its last process has closed it.
                Ok(Err(_)) => return None,
                Err(_would_block) => self.rest(),
            }
        }
    }

    fn read(&mut self, source: &OwnedFd) -> io::Result<usize> {
        let capacity = self.bytes.capacity();
        if capacity == 0 {
            self.bytes = Vec::with_capacity(FIRST_CHUNK);
        } else if self.bytes.len() == capacity && capacity < LARGEST_CHUNK {
            self.bytes = Vec::with_capacity((capacity * 4).min(LARGEST_CHUNK));
        }
        self.bytes.clear();
        Ok(rustix::io::read(source, spare_capacity(&mut self.bytes))?)
    }

    /// There is nothing to read.
    fn rest(&mut self) {
        if std::mem::take(&mut self.bytes).capacity() >= BURST {
            memory::is_spare();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::Copy;
    use super::*;
    use crate::linux;
    use rustix::pipe::{PipeFlags, pipe_with};
    use tokio::io::Interest;

    fn pipe() -> (AsyncFd<OwnedFd>, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        (linux::watch(reader, Interest::READABLE).unwrap(), writer)
    }

    #[tokio::test]
    async fn a_flood_of_output_leaves_room_for_others() {
        let (source, flood) = pipe();
        let flags = rustix::fs::fcntl_getfl(&flood).unwrap() - rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&flood, flags).unwrap();
        let flooding =
            std::thread::spawn(
                move || while rustix::io::write(&flood, &[b'x'; 64 << 10]).is_ok() {},
            );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let sinks = Sinks { log: None, hub: None, copy: Some(Copy::file(&path).unwrap()) };
        let (_ended, ended) = watch::channel(false);
        let (complete, _completed) = oneshot::channel();
        let pump = tokio::spawn(run(Arc::new(source), sinks, ended, complete));

        let length = || path.metadata().unwrap().len();
        while length() == 0 {
            yield_now().await;
        }
        // Something of its own that is ready at once, seen by way of the kernel, as a call is.
        let (other, wake) = pipe();
        for _ in 0..50 {
            let before = length();
            rustix::io::write(&wake, b"!").unwrap();
            let mut ready = other.readable().await.unwrap();
            rustix::io::read(other.get_ref(), &mut [0; 1]).unwrap();
            ready.clear_ready();
            let meanwhile = length() - before;
            assert!(meanwhile <= 4 * LARGEST_CHUNK as u64, "{meanwhile} bytes came in between");
        }
        pump.abort();
        let _ = pump.await;
        flooding.join().unwrap();
    }
}
