//! Telling how far the reading of a blob is.

use std::io::{self, Read};

use tokio::sync::mpsc;

use crate::image::Progress;
use crate::image::digest::DiffId;

/// Bytes between two reports.
const EVERY: u64 = 1 << 20;

/// What is read, and who is told. A listener that is slow misses reports.
pub(super) struct Reported<R> {
    inner: R,
    progress: mpsc::Sender<Progress>,
    state: Progress,
    reported: u64,
}

impl<R: Read> Reported<R> {
    /// Tells of reading `total` bytes from `inner`.
    pub(super) fn new(
        inner: R,
        layer: DiffId,
        total: u64,
        progress: mpsc::Sender<Progress>,
    ) -> Self {
        Self { inner, progress, state: Progress { layer, current: 0, total }, reported: 0 }
    }
}

impl<R: Read> Read for Reported<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.state.current += count as u64;
        let due = self.state.current - self.reported >= EVERY;
        if due || (count > 0 && self.state.current == self.state.total) {
            self.reported = self.state.current;
            let _ = self.progress.try_send(self.state.clone());
        }
        Ok(count)
    }
}
