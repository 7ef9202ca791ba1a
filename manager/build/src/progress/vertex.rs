//! A step of a build, for whoever does it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::event::{Event, LogLine, Stream, Transfer, VertexId, VertexState, Warning};
use super::journal::Journal;
use crate::error::{Error, Place, Result};

/// Bytes that a step may write to either of its outputs; what comes after them is left out.
const MOST_OUTPUT: usize = 2 << 20;
/// What is said then, in `BuildKit`'s words.
const CLIPPED: &str = "\n[output clipped, log limit 2MiB reached]\n";
/// How often it is told how far a transfer is.
const PACE: SignedDuration = SignedDuration::from_millis(100);

/// A step of a build. A copy is the same step.
#[derive(Debug, Clone)]
pub struct Vertex {
    journal: Journal,
    step: Arc<Mutex<Step>>,
    id: VertexId,
}

/// What is known of it.
#[derive(Debug)]
struct Step {
    state: VertexState,
    /// Bytes that were written to its output and to its errors.
    written: [usize; 2],
}

/// Something within a step that takes time. Dropped, it has ended.
#[derive(Debug)]
pub struct TransferHandle {
    journal: Journal,
    transfer: Transfer,
}

/// Says that a step was given up, unless it has ended.
struct GivenUp<'a>(&'a Vertex);

impl Vertex {
    pub(super) fn new(journal: Journal, id: VertexId, name: &str, inputs: &[VertexId]) -> Self {
        let state = VertexState {
            id: id.clone(),
            name: name.to_owned(),
            inputs: inputs.to_vec(),
            cached: false,
            started: None,
            completed: None,
            error: String::new(),
        };
        let step = Arc::new(Mutex::new(Step { state, written: [0; 2] }));
        let vertex = Self { journal, step, id };
        vertex.tell(&vertex.lock().state);
        vertex
    }

    /// Which step it is.
    #[must_use]
    pub fn id(&self) -> &VertexId {
        &self.id
    }

    /// It begins.
    pub fn start(&self) {
        let state = &mut self.lock().state;
        state.started.get_or_insert_with(Timestamp::now);
        self.tell(state);
    }

    /// It is done.
    pub fn done(&self) {
        self.complete(false, String::new());
    }

    /// It needs not be done, since its result is known.
    pub fn cached(&self) {
        self.complete(true, String::new());
    }

    /// It failed.
    pub fn failed(&self, error: &Error) {
        self.complete(false, error.message.clone());
    }

    /// Does the step: begins it, and ends it as `work` ends. An error says which step it was. Dropped,
    /// it has been given up, and that is told.
    ///
    /// # Errors
    /// That of `work`.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.start();
        let _given_up = GivenUp(self);
        match work.await {
            Ok(made) => {
                self.done();
                Ok(made)
            }
            Err(error) => {
                let error = error.in_vertex(&self.id);
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// It wrote something. What is more than anyone reads is left out.
    pub fn log(&self, stream: Stream, mut bytes: Bytes) {
        let before = {
            let written = &mut self.lock().written[stream as usize];
            let before = *written;
            *written = before.saturating_add(bytes.len());
            before
        };
        if before >= MOST_OUTPUT {
            return;
        }
        let is_clipped = bytes.len() > MOST_OUTPUT - before;
        bytes.truncate(MOST_OUTPUT - before);
        self.say(stream, bytes);
        if is_clipped {
            self.say(stream, Bytes::from_static(CLIPPED.as_bytes()));
        }
    }

    fn say(&self, stream: Stream, bytes: Bytes) {
        let log = LogLine { vertex: self.id.clone(), stream, bytes, at: Timestamp::now() };
        self.journal.tell(Event::Log(log));
    }

    /// Something begins within it that takes time.
    #[must_use]
    pub fn transfer(&self, what: &str) -> TransferHandle {
        let now = Timestamp::now();
        let transfer = Transfer {
            vertex: self.id.clone(),
            id: what.to_owned(),
            current: 0,
            total: 0,
            at: now,
            started: now,
            completed: None,
        };
        let mut handle = TransferHandle { journal: self.journal.clone(), transfer };
        handle.tell();
        handle
    }

    /// It found something that works, and is no good idea.
    pub fn warn(&self, short: &str, detail: &str, url: &str, place: Option<Place>) {
        let (short, detail, url) = (short.to_owned(), detail.to_owned(), url.to_owned());
        let warning = Warning { vertex: self.id.clone(), short, detail, url, place };
        self.journal.tell(Event::Warning(warning));
    }

    fn complete(&self, cached: bool, error: String) {
        let state = &mut self.lock().state;
        let now = Timestamp::now();
        state.started.get_or_insert(now);
        state.completed = Some(now);
        (state.cached, state.error) = (cached, error);
        self.tell(state);
    }

    fn tell(&self, state: &VertexState) {
        self.journal.tell(Event::Vertex(state.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if self.0.lock().state.completed.is_none() {
            self.0.failed(&Error::cancelled());
        }
    }
}

impl TransferHandle {
    /// So many bytes are done, of so many; zero if that is not known. It is told now and then.
    pub fn set(&mut self, current: i64, total: i64) {
        (self.transfer.current, self.transfer.total) = (current, total);
        if Timestamp::now().duration_since(self.transfer.at) >= PACE {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.transfer.at = Timestamp::now();
        self.journal.tell(Event::Transfer(self.transfer.clone()));
    }
}

impl Drop for TransferHandle {
    fn drop(&mut self) {
        self.transfer.completed = Some(Timestamp::now());
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(journal: &Journal) -> Vec<Event> {
        journal.end();
        let mut follower = journal.follow();
        let mut all = Vec::new();
        while let Some(events) = follower.next().await {
            all.extend(events);
        }
        all
    }

    #[tokio::test]
    async fn what_is_given_up_says_so() {
        let journal = Journal::default();
        let vertex = journal.vertex("endless", &[]);
        let work = vertex.run(std::future::pending::<Result<()>>());
        let patience = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(patience, work).await.is_err());
        let Some(Event::Vertex(last)) = told(&journal).await.pop() else { panic!("no step") };
        assert!(last.completed.is_some());
        assert_eq!(last.error, "context canceled");
    }

    #[tokio::test]
    async fn endless_output_is_clipped_once_and_errors_are_not() {
        let journal = Journal::default();
        let vertex = journal.vertex("talkative", &[]);
        for _ in 0..5 {
            vertex.log(Stream::Output, Bytes::from(vec![b'x'; MOST_OUTPUT / 2 - 1]));
        }
        vertex.log(Stream::Errors, Bytes::from_static(b"alas"));
        let mut output = Vec::new();
        let mut errors = Vec::new();
        for event in told(&journal).await {
            match event {
                Event::Log(LogLine { stream: Stream::Output, bytes, .. }) => output.extend(bytes),
                Event::Log(log) => errors.extend(log.bytes),
                _ => {}
            }
        }
        assert_eq!(output.len(), MOST_OUTPUT + CLIPPED.len());
        assert!(output.ends_with(CLIPPED.as_bytes()));
        assert_eq!(errors, b"alas");
    }

    #[tokio::test]
    async fn a_transfer_is_told_at_its_ends_however_often_it_is_set() {
        let journal = Journal::default();
        let vertex = journal.vertex("busy", &[]);
        let mut transfer = vertex.transfer("transferring context:");
        (0..10_000).for_each(|bytes| transfer.set(bytes, 10_000));
        drop(transfer);
        let transfers: Vec<_> = told(&journal)
            .await
            .into_iter()
            .filter_map(|event| match event {
                Event::Transfer(transfer) => Some(transfer),
                _ => None,
            })
            .collect();
        assert!(transfers.len() < 1_000, "{}", transfers.len());
        let last = transfers.last().unwrap();
        assert_eq!(last.current, 9_999);
        assert!(last.completed.is_some());
    }
}
