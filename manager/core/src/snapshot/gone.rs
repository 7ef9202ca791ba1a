//! Deletion off the way of requests: what is deleted has no record any more, gets another name at
//! once, and is taken away by a thread of its own. A request waits for a moment only: what is small
//! is gone when it is answered, and what is large doesn't hold it up. What a crash leaves, the next
//! start finds by its name.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::delete;
use crate::error::{Error, Result};

/// How long who asks for a deletion waits for its end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Some trees to be taken away, and who wants to know that they are.
type Job = (Vec<PathBuf>, Sender<()>);

/// The thread that deletes, once there is something to delete.
#[derive(Default)]
pub(super) struct Deleter(Mutex<Option<Sender<Job>>>);

impl Deleter {
    /// Deletes these trees, which nobody uses and whose names nobody will use again.
    ///
    /// # Errors
    /// [`crate::Kind::System`] if there can be no thread. What can't be deleted is logged, and tried
    /// again at the next start.
    pub(super) fn delete(&self, trees: Vec<PathBuf>) -> Result<()> {
        if trees.is_empty() {
            return Ok(());
        }
        let (done, wait) = channel();
        self.send((trees, done))?;
        match wait.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::system("the thread that deletes snapshots died"))
            }
        }
    }

    /// The same, for whoever can't wait even for a moment.
    ///
    /// # Errors
    /// [`crate::Kind::System`] if there can be no thread.
    pub(super) fn leave(&self, trees: Vec<PathBuf>) -> Result<()> {
        if trees.is_empty() { Ok(()) } else { self.send((trees, channel().0)) }
    }

    fn send(&self, job: Job) -> Result<()> {
        let mut worker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match &*worker {
            None => job,
            Some(jobs) => match jobs.send(job) {
                Ok(()) => return Ok(()),
                // It died: there is a new one.
                Err(unsent) => unsent.0,
            },
        };
        let (jobs, work) = channel::<Job>();
        let _ = jobs.send(job);
        let run = move || work.into_iter().for_each(|(trees, done)| run(&trees, &done));
        thread::Builder::new()
            .name("delete".to_owned())
            .spawn(run)
            .map_err(|error| Error::io("start a thread that deletes snapshots", error))?;
        *worker = Some(jobs);
        Ok(())
    }
}

fn run(trees: &[PathBuf], done: &Sender<()>) {
    for tree in trees {
        if let Err(error) = delete::tree(tree) {
            tracing::warn!(path = %tree.display(), %error, "what is left of a snapshot stays");
        }
    }
    // Who asked may have gone on.
    let _ = done.send(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_it_is_deleted_in_its_turn() {
        let root = tempfile::tempdir().unwrap();
        let deleter = Deleter::default();
        let tree = |name: &str| {
            let tree = root.path().join(name);
            std::fs::create_dir_all(tree.join("in/it")).unwrap();
            tree
        };
        deleter.leave(vec![tree("one"), tree("two")]).unwrap();
        deleter.leave(Vec::new()).unwrap();
        // One after another: when this is done, so are they.
        deleter.delete(vec![tree("three")]).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
