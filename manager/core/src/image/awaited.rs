//! Work on a thread of its own, which a task that is given up can't end: the thread looks.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whoever waits for the work. Nobody does any more when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<AtomicBool>);

/// Whether somebody waits still.
#[derive(Debug, Clone, Default)]
pub(super) struct Awaited(Arc<AtomicBool>);

impl Waiting {
    /// For the thread that works.
    pub(super) fn awaited(&self) -> Awaited {
        Awaited(Arc::clone(&self.0))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Awaited {
    /// `inner` for as long as somebody waits; then reading fails.
    pub(super) fn reader<R: Read>(&self, inner: R) -> AwaitedReader<R> {
        AwaitedReader { inner, awaited: self.clone() }
    }
}

/// What [`Awaited::reader`] gives.
pub(super) struct AwaitedReader<R> {
    inner: R,
    awaited: Awaited,
}

impl<R: Read> Read for AwaitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.awaited.0.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_is_read_no_further() {
        let waiting = Waiting::default();
        let mut reader = waiting.awaited().reader(io::repeat(7));
        let mut buffer = [0; 10];
        assert_eq!(reader.read(&mut buffer).unwrap(), 10);
        drop(waiting);
        assert!(reader.read(&mut buffer).is_err());
    }
}
