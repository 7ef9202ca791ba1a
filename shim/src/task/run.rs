//! One run of a container: the init that was made for it, and what is exec'd beside that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::exec::Exec;
use super::process::Process;
use super::state::State;
use crate::cgroup::OomCounter;
use crate::error::{Error, Result};

/// A run.
pub(crate) struct Run {
    /// Its init.
    pub(crate) init: Process,
    /// When the init was let go.
    begun: OnceLock<Moment>,
    oom: OnceLock<OomCounter>,
    execs: Mutex<HashMap<String, Arc<Exec>>>,
}

/// A moment: by the clock on the wall, and by one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    wall: SystemTime,
    steady: Instant,
}

impl Moment {
    /// This one.
    pub(super) fn now() -> Self {
        Moment { wall: SystemTime::now(), steady: Instant::now() }
    }
}

impl Run {
    /// Of an init that was just made, and waits to be let go, or that isn't made yet.
    pub(super) fn new(init: Process) -> Self {
        let run =
            Run { init, begun: OnceLock::new(), oom: OnceLock::new(), execs: Mutex::default() };
        run.count_oom();
        run
    }

    /// Counts the out-of-memory killer's strikes, from when there is an init.
    pub(super) fn count_oom(&self) {
        if let Some(counter) = OomCounter::of_process(self.init.state().pid()) {
            let _ = self.oom.set(counter);
        }
    }

    /// The init was let go at `moment`; returns its time.
    pub(super) fn begin(&self, moment: Moment) -> SystemTime {
        self.begun.get_or_init(|| moment).wall
    }

    /// When the init was let go.
    pub(super) fn started_at(&self) -> Option<SystemTime> {
        self.begun.get().map(|begun| begun.wall)
    }

    /// How long ago that was.
    pub(super) fn age(&self) -> Duration {
        self.begun.get().map_or(Duration::ZERO, |begun| begun.steady.elapsed())
    }

    /// Whether the out-of-memory killer has struck in it.
    pub(super) fn is_oom_killed(&self) -> bool {
        self.oom.get().is_some_and(OomCounter::has_struck)
    }

    /// Whether its init is there, and hasn't been let go.
    pub(super) fn is_created(&self) -> bool {
        matches!(self.init.state(), State::Created { .. })
    }

    /// An exec by its id.
    pub(crate) fn exec(&self, id: &str) -> Result<Arc<Exec>> {
        let exec = self.lock_execs().get(id).cloned();
        exec.ok_or_else(|| Error::not_found(format!("process does not exist {id}")))
    }

    /// The execs that there are.
    pub(crate) fn execs(&self) -> Vec<Arc<Exec>> {
        self.lock_execs().values().cloned().collect()
    }

    /// Adds an exec, if its id is free.
    pub(super) fn add_exec(&self, exec: Exec) -> Result<()> {
        let mut execs = self.lock_execs();
        if execs.contains_key(&exec.id) {
            return Err(Error::already_exists(format!("id {}: already exists", exec.id)));
        }
        execs.insert(exec.id.clone(), Arc::new(exec));
        Ok(())
    }

    /// Forgets an exec.
    pub(super) fn remove_exec(&self, id: &str) {
        self.lock_execs().remove(id);
    }

    /// Waits until every exec that was started, or is just being, has ended.
    pub(super) async fn execs_ended(&self) {
        for exec in self.execs() {
            exec.process.quiet().await;
        }
    }

    /// Lets go of all its streams.
    pub(super) fn close(&self) {
        self.init.io.close();
        for (_, exec) in self.lock_execs().drain() {
            exec.process.io.close();
        }
    }

    fn lock_execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
