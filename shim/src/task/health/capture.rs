//! The beginning of what a probe writes.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// How much is kept; the rest is read and dropped, so that the probe isn't held up.
const KEPT: usize = 4096;
/// As much as is read at a time.
const CHUNK: usize = 16 << 10;

/// What has come so far.
pub(super) struct Capture {
    /// `None` when all writers have gone.
    pipe: Option<AsyncFd<OwnedFd>>,
    kept: Vec<u8>,
    is_cut: bool,
}

impl Capture {
    /// Of what comes out of `pipe`, which is in non-blocking mode.
    pub(super) fn new(pipe: AsyncFd<OwnedFd>) -> Self {
        Capture { pipe: Some(pipe), kept: Vec::new(), is_cut: false }
    }

    /// Reads for as long as it is awaited.
    pub(super) async fn read_on(&mut self) -> Infallible {
        while let Some(pipe) = &self.pipe {
            let Ok(mut ready) = pipe.readable().await else { break };
            let mut buffer = [0; CHUNK];
            match ready.try_io(|pipe| Ok(rustix::io::read(pipe.get_ref(), &mut buffer)?)) {
                Ok(Ok(0)) => self.pipe = None,
                Ok(Ok(count)) => self.keep(buffer.get(..count).unwrap_or_default()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(_)) => self.pipe = None,
                Err(_would_block) => {}
            }
        }
        std::future::pending().await
    }

    /// The probe has ended: takes what it left in the pipe, and whatever others write no more.
    pub(super) fn finish(mut self) -> String {
        if let Some(pipe) = self.pipe.take() {
            // Others may go on writing for ever.
            let mut left = rustix::io::ioctl_fionread(pipe.get_ref()).unwrap_or(0);
            let mut buffer = [0; CHUNK];
            while left > 0 {
                let Ok(count @ 1..) = rustix::io::read(pipe.get_ref(), &mut buffer) else { break };
                self.keep(buffer.get(..count).unwrap_or_default());
                left = left.saturating_sub(count as u64);
            }
        }
        let text = String::from_utf8_lossy(&self.kept).into_owned();
        if self.is_cut { text + "..." } else { text }
    }

    fn keep(&mut self, data: &[u8]) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(data.get(..room).unwrap_or(data));
        self.is_cut |= data.len() > room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::time::Duration;
    use tokio::io::Interest;

    fn pipe() -> (Capture, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        (Capture::new(crate::linux::watch(reader, Interest::READABLE).unwrap()), writer)
    }

    #[tokio::test]
    async fn what_was_written_in_the_end_is_there_whoever_holds_the_pipe() {
        let (mut capture, writer) = pipe();
        rustix::io::write(&writer, b"first ").unwrap();
        let read = tokio::time::timeout(Duration::from_millis(20), capture.read_on());
        assert!(read.await.is_err());
        rustix::io::write(&writer, b"last \xff").unwrap();
        assert_eq!(capture.finish(), "first last \u{fffd}");
    }

    #[tokio::test]
    async fn what_is_too_much_is_cut_and_holds_nobody_up() {
        let (mut capture, writer) = pipe();
        for _ in 0..100 {
            rustix::io::write(&writer, &[b'x'; 10_000]).unwrap();
            let read = tokio::time::timeout(Duration::from_millis(1), capture.read_on());
            assert!(read.await.is_err());
        }
        drop(writer);
        let text = capture.finish();
        assert_eq!((text.len(), text.ends_with("x...")), (KEPT + 3, true));
    }
}
