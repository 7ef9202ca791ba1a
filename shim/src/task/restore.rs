//! A container that is made of a checkpoint's files: of nothing before its start, and then it goes
//! on where it was.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::MutexGuard;

use super::blueprint::Source;
use super::checkpoint::Checkpoint;
use super::container::Task;
use super::run::{Moment, Run};
use super::situation::{Ending, NOT_STARTED, Phase};
use super::state::{Action, State};
use crate::error::{Error, Result};
use crate::publish::Event;
use crate::reaper::Exit;

impl Task {
    /// Makes its first run of a checkpoint's files, in the init's turn; returns the init's pid. If
    /// that can't be done, that was the end of it.
    pub(super) async fn restore(
        self: &Arc<Self>,
        run: &Arc<Run>,
        checkpoint: &Checkpoint,
        turn: &MutexGuard<'_, ()>,
    ) -> Result<u32> {
        let moment = Moment::now();
        let source = Source::Checkpoint(checkpoint.clone());
        let (pid, ended) = match self.blueprint.make_init(&run.init, &source).await {
            Ok(made) => made,
            Err(error) => {
                self.end_unmade(run, NOT_STARTED, Some(&error), turn);
                return Err(error);
            }
        };
        run.init.set_state(State::Running { pid }, turn);
        run.count_oom();
        let started_at = run.begin(moment);
        self.begin_health(run);
        self.enter(Phase::Running { pid, started_at });
        tokio::spawn(Arc::clone(self).supervise(ended));
        self.publish(Event::Start { container_id: self.id.clone(), pid });
        Ok(pid)
    }

    /// If its first run was never made, it won't be: nothing waits for its start any more.
    pub(super) async fn give_up_restore(&self, run: &Run) -> Result<()> {
        if run.init.state() == State::Added {
            let turn = run.init.begin(Action::Delete).await?;
            self.end_unmade(run, 0, None, &turn);
        }
        Ok(())
    }

    fn end_unmade(&self, run: &Run, status: u32, error: Option<&Error>, turn: &MutexGuard<'_, ()>) {
        let exit = Exit { status, at: SystemTime::now() };
        run.init.fail(exit, turn);
        let error = error.map(ToString::to_string);
        let ending = Ending { exit, started_at: None, oom_killed: false, dropped_lines: 0, error };
        self.enter(Phase::Ended { ending });
    }
}
