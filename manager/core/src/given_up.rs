//! Work in a thread for someone who may go away: he cannot stop the thread, but tell it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody waits for some work any more; whoever does it looks now and then.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

/// Gives work up when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct GiveUp(GivenUp);

impl GivenUp {
    /// Whether it is so.
    pub(crate) fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// `inner` until then; reading fails from then on.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> WatchedReader<R> {
        WatchedReader { inner, given_up: self.clone() }
    }
}

impl GiveUp {
    /// What becomes true then.
    pub(crate) fn watched(&self) -> GivenUp {
        self.0.clone()
    }
}

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// What [`GivenUp::reader`] gives.
pub(crate) struct WatchedReader<R> {
    inner: R,
    given_up: GivenUp,
}

impl<R: Read> Read for WatchedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given_up.is_true() {
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
        let waiting = GiveUp::default();
        let mut reader = waiting.watched().reader(io::repeat(7));
        let mut buffer = [0; 10];
        assert_eq!(reader.read(&mut buffer).unwrap(), 10);
        drop(waiting);
        assert!(reader.read(&mut buffer).is_err());
    }
}
