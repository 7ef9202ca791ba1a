//! Lines on their way to a driver that may be slow: they wait in memory, and a thread of the
//! driver's own passes them on. What to do when too many wait is the caller's choice: hold the
//! container back, or drop and count.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::driver::Driver;
use super::lines::Line;
use super::options::Delivery;
use crate::diagnostics::warn;
use crate::error::{Context, Result};
use crate::io::hub::Channel;

/// Bytes that may wait where the container is held back for them.
const BLOCKING_BUFFER: usize = 1 << 20;
/// What a line weighs beside its text.
const OVERHEAD: usize = size_of::<Entry>();
/// How long the end waits for a driver that doesn't get rid of its lines.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to one driver.
pub(super) struct Queue {
    shared: Arc<Shared>,
    capacity: usize,
    drops: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do for the thread.
    work: Condvar,
    /// The thread has done something.
    progress: Notify,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// What they weigh, with those that the thread is at.
    bytes: usize,
    reopen: bool,
    closed: bool,
    /// Lines that there was no room for.
    dropped: u64,
    /// Lines that the driver could not keep.
    lost: u64,
}

/// A line with its own text.
struct Entry {
    channel: Channel,
    text: Vec<u8>,
    partial: bool,
    piece: u32,
    time: SystemTime,
}

impl Queue {
    /// Starts the thread of `driver`.
    pub(super) fn begin(driver: impl Driver + 'static, delivery: Delivery) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (capacity, drops) = match delivery {
            Delivery::Blocking => (BLOCKING_BUFFER, false),
            Delivery::Dropping(capacity) => (capacity, true),
        };
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .stack_size(128 << 10)
            .spawn(move || pass_on(&for_thread, driver))
            .context(|| "start a thread for the log".to_owned())?;
        Ok(Queue { shared, capacity, drops, thread: Some(thread) })
    }

    /// Queues a line, or drops it.
    pub(super) fn push(&self, channel: Channel, line: &Line<'_>) {
        let mut state = self.shared.lock();
        let weight = line.text.len() + OVERHEAD;
        if self.drops && state.bytes > 0 && state.bytes + weight > self.capacity {
            state.dropped += 1;
            if state.dropped == 1 {
                warn(format_args!("the log driver is too slow: lines are dropped"));
            }
            return;
        }
        state.bytes += weight;
        let Line { partial, piece, time, .. } = *line;
        state.entries.push_back(Entry { channel, text: line.text.to_vec(), partial, piece, time });
        drop(state);
        self.shared.work.notify_one();
    }

    /// Waits until there is room for more, where nothing may be dropped.
    pub(super) async fn room(&self) {
        if !self.drops {
            self.until(|state| state.bytes < self.capacity).await;
        }
    }

    /// Waits until all lines have been passed on, but not for ever.
    pub(super) async fn empty(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.until(|state| state.bytes == 0)).await;
    }

    /// Has the driver go on in a new file.
    pub(super) fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.work.notify_one();
    }

    /// How many lines were dropped, here or by the driver.
    pub(super) fn dropped(&self) -> u64 {
        let state = self.shared.lock();
        state.dropped + state.lost
    }

    async fn until(&self, fulfilled: impl Fn(&State) -> bool) {
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if fulfilled(&self.shared.lock()) {
                return;
            }
            progress.await;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.closed = true;
            if state.dropped > 0 {
                warn(format_args!("{} lines of the log were dropped", state.dropped));
            }
            state.bytes
        };
        self.shared.work.notify_one();
        // A thread that is stuck in its driver is left behind.
        if left == 0
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: hands lines to the driver until the queue is closed and empty.
fn pass_on(shared: &Shared, mut driver: impl Driver) {
    loop {
        let mut state = shared.lock();
        while state.entries.is_empty() && !state.reopen && !state.closed {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let entries = std::mem::take(&mut state.entries);
        let reopen = std::mem::take(&mut state.reopen);
        if entries.is_empty() && !reopen {
            return;
        }
        drop(state);
        let mut weight = 0;
        for Entry { channel, text, partial, piece, time } in entries {
            driver.append(channel, &Line { text: &text, partial, piece, time });
            weight += text.len() + OVERHEAD;
        }
        driver.flush();
        if reopen {
            driver.reopen();
        }
        let mut state = shared.lock();
        state.bytes -= weight;
        state.lost = driver.lost();
        drop(state);
        shared.progress.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A driver that waits for a word before each line.
    struct Slow {
        words: Receiver<()>,
        lines: Sender<Vec<u8>>,
    }

    impl Driver for Slow {
        fn append(&mut self, _: Channel, line: &Line<'_>) {
            let _ = self.words.recv();
            let _ = self.lines.send(line.text.to_vec());
        }

        fn flush(&mut self) {}

        fn reopen(&mut self) {}

        fn lost(&self) -> u64 {
            0
        }
    }

    fn slow(delivery: Delivery) -> (Queue, Sender<()>, Receiver<Vec<u8>>) {
        let ((words, for_driver), (lines, passed)) = (channel(), channel());
        let queue = Queue::begin(Slow { words: for_driver, lines }, delivery).unwrap();
        (queue, words, passed)
    }

    fn line(text: &[u8]) -> Line<'_> {
        Line { text, partial: false, piece: 0, time: SystemTime::UNIX_EPOCH }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_slow_driver_holds_back_and_loses_nothing() {
        let (queue, words, passed) = slow(Delivery::Blocking);
        let text = vec![b'x'; BLOCKING_BUFFER];
        queue.push(Channel::Stdout, &line(&text));
        let waiting = tokio::time::timeout(Duration::from_millis(20), queue.room()).await;
        assert!(waiting.is_err(), "there is room");
        words.send(()).unwrap();
        queue.room().await;
        assert_eq!(passed.recv().unwrap(), text);
        queue.empty().await;
        assert_eq!(queue.dropped(), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn where_dropping_is_wanted_what_is_too_much_is_dropped_and_counted() {
        let (queue, words, passed) = slow(Delivery::Dropping(2 * OVERHEAD + 10));
        for text in [b"first", b"other", b"third", b"extra"] {
            queue.push(Channel::Stdout, &line(text));
        }
        queue.room().await;
        assert_eq!(queue.dropped(), 2);
        for _ in 0..2 {
            words.send(()).unwrap();
        }
        queue.empty().await;
        queue.push(Channel::Stdout, &line(b"later"));
        words.send(()).unwrap();
        queue.empty().await;
        let passed: Vec<_> = passed.try_iter().collect();
        assert_eq!(passed, [b"first", b"other", b"later"]);
    }
}
