//! All that a build has told, for whoever follows it from the beginning.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tare_dockerfile::plan::Plan;
use tokio::sync::watch;

use super::event::{Event, Planned, VertexId, Warning};
use super::vertex::Vertex;
use crate::error::SourceFile;

/// Bytes of output that are kept of all steps together, each of which says when it is too much; what
/// comes after them is left out.
const MOST_OUTPUT: usize = 64 << 20;

/// All that a build has told. Steps get a copy; the build has ended when [`Journal::end`] was called.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Unlike that of any other.
    salt: u64,
    told: Mutex<Told>,
    /// How many events there are, and whether all are.
    changed: watch::Sender<(usize, bool)>,
}

#[derive(Debug, Default)]
struct Told {
    events: Vec<Event>,
    vertices: usize,
    output: usize,
}

/// Reads a journal from its beginning.
#[derive(Debug)]
pub struct Follower {
    journal: Journal,
    changed: watch::Receiver<(usize, bool)>,
    read: usize,
}

impl Default for Journal {
    fn default() -> Self {
        let (changed, _) = watch::channel((0, false));
        Self(Arc::new(Shared { salt: rand::random(), told: Mutex::default(), changed }))
    }
}

impl Journal {
    /// A step that will be done: `name` as people see it, after those of `inputs`. It is told at once,
    /// and begins with [`Vertex::start`].
    #[must_use]
    pub fn vertex(&self, name: &str, inputs: &[VertexId]) -> Vertex {
        let number = {
            let mut told = self.lock();
            told.vertices += 1;
            told.vertices
        };
        Vertex::new(self.clone(), VertexId::new(self.0.salt, number, name), name, inputs)
    }

    /// It is known what will be done.
    pub fn planned(&self, file: &Arc<SourceFile>, plan: &Arc<Plan>) {
        let planned = Planned { file: Arc::clone(file), plan: Arc::clone(plan) };
        self.tell(Event::Planned(planned));
    }

    /// Someone else than a step has found something that works, and is no good idea: about the step
    /// called `vertex`.
    pub fn warn(&self, vertex: &str, short: &str, detail: &str, url: &str) {
        let (short, detail, url) = (short.to_owned(), detail.to_owned(), url.to_owned());
        let warning = Warning { vertex: VertexId::of(vertex), short, detail, url, place: None };
        self.tell(Event::Warning(warning));
    }

    /// Nothing more will be told.
    pub fn end(&self) {
        self.0.changed.send_modify(|(_, ended)| *ended = true);
    }

    /// Follows it from its beginning.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower { journal: self.clone(), changed: self.0.changed.subscribe(), read: 0 }
    }

    pub(super) fn tell(&self, event: Event) {
        let count = {
            let mut told = self.lock();
            if let Event::Log(log) = &event {
                if told.output >= MOST_OUTPUT {
                    return;
                }
                told.output += log.bytes.len();
            }
            told.events.push(event);
            told.events.len()
        };
        self.0.changed.send_modify(|(known, _)| *known = count);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// What was told since the last call, in order; none when all has been told.
    pub async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let (count, ended) = *self.changed.borrow_and_update();
            if count > self.read {
                let new = self.journal.lock().events[self.read..count].to_vec();
                self.read = count;
                return Some(new);
            }
            if ended || self.changed.changed().await.is_err() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_late_gets_all_of_it() {
        let journal = Journal::default();
        let first = journal.vertex("first", &[]);
        let second = journal.vertex("second", &[first.id().clone()]);
        first.start();
        first.done();
        second.cached();
        journal.end();
        let mut follower = journal.follow();
        let mut states = Vec::new();
        while let Some(events) = follower.next().await {
            states.extend(events.into_iter().filter_map(|event| match event {
                Event::Vertex(state) => Some((state.name, state.cached, state.completed.is_some())),
                _ => None,
            }));
        }
        let told = |name: &str, cached, completed| (name.to_owned(), cached, completed);
        assert_eq!(
            states,
            [
                told("first", false, false),
                told("second", false, false),
                told("first", false, false),
                told("first", false, true),
                told("second", true, true),
            ]
        );
        assert_ne!(first.id(), second.id());
    }
}
