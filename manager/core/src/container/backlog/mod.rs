//! What a process wrote and an attached client hasn't read yet.
//!
//! A client that reads slowly, or not at all, must neither hold a container back nor cost memory. So
//! what it hasn't read waits here: a little in memory; what is more in a [file](spill) that has no
//! name, and goes with the client. Only a container whose output is kept on disk anyhow has such a
//! file: with the log driver `none` nothing of it ever gets there, and an exec'd process belongs to
//! its client, which may take its time.
//!
//! The log itself isn't read for this, though it has it all: `json-file` can't hold bytes that
//! aren't UTF-8, a line is in it only when it is complete, and its rotation may take away what a
//! client still waits for.
//!
//! Where there is no more room, a client that was there before the start gets every byte: the
//! process waits for it, as it would for a pipe's reader. So do exec'd processes. Any other client,
//! and all where `mode=non-blocking` says that output is less important than progress, misses output
//! after a while; it is counted, and the client is told.

mod spill;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::log::Place;
use super::options::Output;
use super::record::Container;
use spill::Spill;

/// Bytes that are kept in memory.
const MEMORY: usize = 1 << 20;
/// How long a process waits for a client that may miss output.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client of a process is entitled to.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Where what doesn't fit into memory is kept, if anywhere.
    pub(crate) directory: Option<PathBuf>,
    /// What happens when there is no room left.
    pub(crate) when_full: WhenFull,
}

/// What happens to output that there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The process waits until there is.
    Wait,
    /// The process waits for a while; after that, the client misses it.
    Miss,
}

/// When a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Before its process was there.
    BeforeStart,
    /// While it ran.
    Later,
}

impl Terms {
    /// Those of a client of a container's own streams.
    pub(crate) fn of_container(container: &Container, joined: Joined) -> Self {
        let kept = Place::of(container).is_some();
        let mode = container.host.log.options.get("mode").map(String::as_str);
        let when_full = match joined {
            Joined::BeforeStart if mode != Some("non-blocking") => WhenFull::Wait,
            Joined::BeforeStart | Joined::Later => WhenFull::Miss,
        };
        Terms { directory: kept.then(|| container.directory.clone()), when_full }
    }

    /// Those of the client of an exec'd process.
    pub(crate) fn of_exec() -> Self {
        Terms { directory: None, when_full: WhenFull::Wait }
    }
}

/// Output that waits for one client, in its order.
pub(crate) struct Backlog {
    terms: Terms,
    /// The oldest.
    memory: VecDeque<Output>,
    bytes: usize,
    /// What came after it, until that is in memory.
    spill: Option<Spill>,
    /// Bytes that the client will miss.
    missed: u64,
    /// Since when there has been no room, nor has the client read.
    stuck_since: Option<Instant>,
    given_up: bool,
}

impl Backlog {
    /// Nothing waits yet.
    pub(crate) fn new(terms: Terms) -> Self {
        Backlog {
            terms,
            memory: VecDeque::new(),
            bytes: 0,
            spill: None,
            missed: 0,
            stuck_since: None,
            given_up: false,
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.spill.is_none() && self.missed == 0
    }

    /// Whether the process may go on.
    pub(crate) fn takes_more(&self) -> bool {
        self.given_up || !self.is_full()
    }

    /// When the process must not wait any longer; then [`give_up`](Self::give_up).
    pub(crate) fn patience_ends(&self) -> Option<Instant> {
        match self.terms.when_full {
            WhenFull::Wait => None,
            WhenFull::Miss => self.stuck_since.map(|since| since + PATIENCE),
        }
    }

    /// From now on the client misses what there is no room for.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Adds output. It is taken even if there is no room: who wants to wait asks before.
    pub(crate) async fn push(&mut self, output: Output) {
        if self.given_up && self.is_full() {
            self.missed += output.len() as u64;
            return;
        }
        self.tell_of_missed().await;
        self.keep(output).await;
        if self.is_full() {
            self.stuck_since.get_or_insert_with(Instant::now);
        }
    }

    /// Takes the oldest output.
    pub(crate) async fn pop(&mut self) -> Option<Output> {
        if self.memory.is_empty() {
            self.refill().await;
        }
        if self.memory.is_empty() {
            self.tell_of_missed().await;
        }
        let output = self.memory.pop_front()?;
        self.bytes = self.bytes.saturating_sub(output.len());
        // It reads: it is waited for again.
        self.stuck_since = self.is_full().then(Instant::now);
        if self.is_empty() {
            self.given_up = false;
        }
        Some(output)
    }

    fn is_full(&self) -> bool {
        match &self.spill {
            Some(spill) => spill.is_full(),
            None => self.bytes >= MEMORY && self.terms.directory.is_none(),
        }
    }

    async fn keep(&mut self, output: Output) {
        if self.spill.is_none() && self.bytes >= MEMORY {
            self.begin_spill().await;
        }
        match &mut self.spill {
            Some(spill) => spill.push(&output).await,
            None => {
                self.bytes += output.len();
                self.memory.push_back(output);
            }
        }
    }

    async fn begin_spill(&mut self) {
        let Some(directory) = &self.terms.directory else { return };
        match Spill::create(directory.clone()).await {
            Ok(spill) => self.spill = Some(spill),
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(%directory, %error, "keep what an attached client hasn't read");
                self.terms.directory = None;
            }
        }
    }

    async fn refill(&mut self) {
        let Some(spill) = &mut self.spill else { return };
        match spill.pull().await {
            Ok(outputs) => self.memory = outputs,
            Err(error) => {
                tracing::error!(%error, "read back what an attached client hasn't read");
                self.missed += spill.bytes();
                self.spill = None;
            }
        }
        self.bytes = self.memory.iter().map(Output::len).sum();
        if self.spill.as_ref().is_some_and(Spill::is_empty) {
            self.spill = None;
        }
    }

    /// Puts a word about what is missing where it is missing.
    async fn tell_of_missed(&mut self) {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            self.keep(Output::Missed(missed)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const CHUNK: usize = 48 << 10;

    fn terms(directory: Option<&tempfile::TempDir>, when_full: WhenFull) -> Terms {
        Terms { directory: directory.map(|directory| directory.path().to_owned()), when_full }
    }

    /// A chunk that is unlike its neighbours.
    fn chunk(number: usize) -> Output {
        let bytes = Bytes::from(vec![u8::try_from(number % 251).unwrap(); CHUNK + number % 7]);
        if number.is_multiple_of(3) { Output::Stderr(bytes) } else { Output::Stdout(bytes) }
    }

    #[tokio::test]
    async fn what_does_not_fit_into_memory_comes_back_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut backlog = Backlog::new(terms(Some(&directory), WhenFull::Wait));
        let mut read = 0;
        for number in 0..400 {
            assert!(backlog.takes_more());
            backlog.push(chunk(number)).await;
            // A client that reads every third piece.
            if number.is_multiple_of(3) {
                assert_eq!(backlog.pop().await, Some(chunk(read)));
                read += 1;
            }
        }
        assert!(backlog.spill.is_some() && backlog.bytes <= MEMORY + CHUNK);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        while !backlog.is_empty() {
            assert_eq!(backlog.pop().await, Some(chunk(read)));
            read += 1;
        }
        assert_eq!(read, 400);
        assert!(backlog.spill.is_none());
    }

    #[tokio::test]
    async fn without_a_place_on_disk_the_process_waits() {
        let mut backlog = Backlog::new(terms(None, WhenFull::Wait));
        let mut count = 0;
        while backlog.takes_more() {
            backlog.push(chunk(count)).await;
            count += 1;
        }
        assert!(backlog.bytes < MEMORY + CHUNK + 7);
        assert_eq!(backlog.patience_ends(), None);
        backlog.pop().await;
        assert!(backlog.takes_more());
    }

    #[tokio::test]
    async fn one_that_is_given_up_on_is_told_where_and_how_much_it_missed() {
        let mut backlog = Backlog::new(terms(None, WhenFull::Miss));
        let mut count = 0;
        while backlog.takes_more() {
            backlog.push(chunk(count)).await;
            count += 1;
        }
        assert!(backlog.patience_ends().is_some());
        backlog.give_up();
        assert!(backlog.takes_more());
        let missed = chunk(count).len() + chunk(count + 1).len();
        backlog.push(chunk(count)).await;
        backlog.push(chunk(count + 1)).await;
        for number in 0..count {
            assert_eq!(backlog.pop().await, Some(chunk(number)));
        }
        assert_eq!(backlog.pop().await, Some(Output::Missed(missed as u64)));
        assert!(backlog.is_empty());
        assert_eq!(backlog.pop().await, None);
    }

    #[tokio::test]
    async fn a_full_disk_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut backlog = Backlog::new(terms(Some(&directory), WhenFull::Wait));
        let mut count = 0;
        while backlog.spill.is_none() {
            backlog.push(chunk(count)).await;
            count += 1;
        }
        backlog.spill.as_mut().unwrap().set_limit(3 << 20);
        while backlog.takes_more() {
            backlog.push(chunk(count)).await;
            count += 1;
        }
        for number in 0..count {
            assert_eq!(backlog.pop().await, Some(chunk(number)));
        }
        assert!(backlog.is_empty() && backlog.takes_more());
    }
}
