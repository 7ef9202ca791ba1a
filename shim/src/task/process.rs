//! One process of a container: its init, or one that was exec'd.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard, watch};

use super::state::{Action, State};
use crate::error::{Context, Result};
use crate::io::{Policy, ProcessIo, StdioRequest};
use crate::reaper::Exit;

/// How long a process's end waits for a reader of its output that isn't ours.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(2);

/// What all processes have in common.
pub(crate) struct Process {
    /// What was asked for its streams.
    pub(crate) stdio: StdioRequest,
    /// Its streams.
    pub(crate) io: ProcessIo,
    state: Mutex<State>,
    /// Held while the state is being changed by something that takes time.
    turn: tokio::sync::Mutex<()>,
    exit: watch::Sender<Option<Exit>>,
}

impl Process {
    /// A process that doesn't exist yet, but can be attached to.
    pub(crate) fn new(stdio: StdioRequest, policy: Policy) -> Result<Self> {
        Ok(Process {
            io: ProcessIo::new(&stdio, policy)?,
            stdio,
            state: Mutex::new(State::Added),
            turn: tokio::sync::Mutex::new(()),
            exit: watch::Sender::new(None),
        })
    }

    /// Where it is in its life.
    pub(crate) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one's turn to change the state, and checks that `action` is legal then.
    pub(crate) async fn begin(&self, action: Action) -> Result<MutexGuard<'_, ()>> {
        let turn = self.turn.lock().await;
        self.state().allow(action)?;
        Ok(turn)
    }

    /// Sets the state, within a turn.
    pub(crate) fn set_state(&self, state: State, _turn: &MutexGuard<'_, ()>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The process has ended: sees to its output, has `note` put the end on record, and tells everyone
    /// who waits, in this order.
    pub(crate) async fn finish(&self, exit: Exit, note: impl FnOnce()) {
        self.io.complete(OUTPUT_PATIENCE).await;
        // What is being done to it (its start, say) is answered first.
        let turn = self.turn.lock().await;
        note();
        self.set_state(State::Stopped { pid: self.state().pid(), exit }, &turn);
        self.exit.send_replace(Some(exit));
        self.io.end();
    }

    /// The process couldn't be started, within the turn in which that was tried.
    pub(crate) fn fail(&self, exit: Exit, turn: &MutexGuard<'_, ()>) {
        self.set_state(State::Stopped { pid: 0, exit }, turn);
        self.exit.send_replace(Some(exit));
        self.io.close();
    }

    /// Waits until nothing is being done to the process, and it has ended if it ever began.
    pub(super) async fn quiet(&self) {
        let turn = self.turn.lock().await;
        let state = self.state();
        drop(turn);
        match state {
            State::Added | State::Stopped { .. } => {}
            State::Created { .. } | State::Running { .. } | State::Paused { .. } => {
                let _ = self.wait().await;
            }
        }
    }

    /// Resolves when the process has ended and that is on record.
    pub(crate) async fn wait(&self) -> Result<Exit> {
        let mut exit = self.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.map(|exit| *exit);
        ended.ok().flatten().ok_or("it is gone").context(|| "wait for the process".to_owned())
    }
}
