//! A container from one run to the next: its ends are seen and put on record, and by its policy it
//! is started again.
//!
//! Whether there will be another run is decided in one go with the end's being put on record. From
//! then on until the next init is let go, the restart can be called off: whoever does that leaves
//! [`Phase::Ended`], and the one who was about to restart it finds that at its next step.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use super::container::{DELETE_PATIENCE, KILL, Task};
use super::restart::{RestartPolicy, Restarts};
use super::run::{Moment, Run};
use super::situation::{Ending, NOT_STARTED, Phase, Situation};
use super::state::{Action, State};
use crate::diagnostics::warn;
use crate::error::{Error, Result};
use crate::publish::Event;
use crate::reaper::{Exit, ExitReceiver};

/// What came of the attempt to have a run.
enum Attempt {
    /// There is one, whose end will be told here.
    Runs(ExitReceiver),
    /// There is one that could not be let go; it has been killed.
    Failed(ExitReceiver, Error),
    /// There is none.
    NotMade(Error),
    /// There is none, because none is wanted any more.
    CalledOff,
}

impl Task {
    /// Sees to the end of the first run, and to all runs after it.
    pub(super) async fn supervise(self: Arc<Self>, ended: ExitReceiver) {
        let mut attempt = Attempt::Runs(ended);
        loop {
            let delay = match attempt {
                Attempt::Runs(ended) => self.see_end(ended, None).await,
                Attempt::Failed(ended, error) => self.see_end(ended, Some(error)).await,
                Attempt::NotMade(error) => self.miss_run(&error),
                Attempt::CalledOff => return,
            };
            let Some(delay) = delay else { return };
            if self.is_called_off_within(delay).await {
                return;
            }
            attempt = self.run_again().await;
        }
    }

    /// Waits for the end of the run, which `failure` says that it is bound to come to. Returns after
    /// what time there is to be another run, if there is to be one.
    async fn see_end(&self, ended: ExitReceiver, failure: Option<Error>) -> Option<Duration> {
        let exit = ended.await.ok()?;
        let status = failure.as_ref().map_or(exit.status, |_| NOT_STARTED);
        let exit = Exit { status, ..exit };
        let run = self.run();
        if self.shares_pid_namespace {
            // Nothing is left to kill where the init was alone.
            let runtime = &self.blueprint.runtime;
            let _ = runtime.kill(&self.blueprint.launch(), KILL, true).await;
        }
        let oom_killed = run.is_oom_killed();
        let mut delay = None;
        let decide = || {
            let ending = Ending {
                exit,
                started_at: run.started_at(),
                oom_killed,
                dropped_lines: run.init.io.dropped_lines(),
                error: failure.as_ref().map(ToString::to_string),
            };
            delay = if run.started_at().is_some() {
                self.decide(ending, run.age())
            } else {
                self.rest(ending);
                None
            };
        };
        run.init.finish(exit, decide).await;
        if oom_killed {
            self.publish(Event::OutOfMemory { container_id: self.id.clone() });
        }
        let (container_id, pid) = (self.id.clone(), run.init.state().pid());
        self.publish(Event::Exit { id: container_id.clone(), container_id, pid, exit });
        delay
    }

    /// There should have been a run, and there is none because of `error`: that is an end too.
    fn miss_run(&self, error: &Error) -> Option<Duration> {
        if !self.is_waiting() {
            return None;
        }
        let at = SystemTime::now();
        let ending = Ending {
            exit: Exit { status: NOT_STARTED, at },
            started_at: Some(at),
            oom_killed: false,
            dropped_lines: 0,
            error: Some(error.to_string()),
        };
        self.decide(ending, Duration::ZERO)
    }

    /// Decides what follows an end, and puts both on record.
    fn decide(&self, ending: Ending, ran: Duration) -> Option<Duration> {
        let delay = self.lock_restarts().after(ending.outcome(), ran);
        match delay {
            Some(delay) => {
                let restart_at = SystemTime::now() + delay;
                self.note_end(&ending, Some(restart_at));
                self.enter(Phase::Waiting { ending, restart_at });
            }
            None => self.rest(ending),
        }
        delay
    }

    /// It has ended for good.
    fn rest(&self, ending: Ending) {
        self.note_end(&ending, None);
        self.enter(Phase::Ended { ending });
    }

    fn note_end(&self, ending: &Ending, restart_at: Option<SystemTime>) {
        let restarts = self.lock_restarts().count();
        if let Err(error) = self.record.ended(ending, restarts, restart_at) {
            warn(format_args!("{error}; the end of {} isn't on record", self.id));
        }
    }

    /// Waits for so long, but no longer than the restart is wanted.
    async fn is_called_off_within(&self, delay: Duration) -> bool {
        let mut situation = self.watch();
        let called_off = situation.wait_for(|situation| !waits(situation.as_ref()));
        timeout(delay, called_off).await.is_ok()
    }

    async fn run_again(&self) -> Attempt {
        let _making = self.making.lock().await;
        match self.make_again().await {
            Ok(Some((run, ended))) => self.let_go(Arc::new(run), ended).await,
            Ok(None) => Attempt::CalledOff,
            Err(error) => Attempt::NotMade(error),
        }
    }

    /// Takes down the last run, and makes another in its place, with the limits that it had;
    /// nothing if none is wanted any more.
    async fn make_again(&self) -> Result<Option<(Run, ExitReceiver)>> {
        self.take_down().await?;
        if !self.is_waiting() {
            return Ok(None);
        }
        let (run, ended) = self.blueprint.make_run().await?;
        if let Some(limits) = self.limits.get()
            && let Err(error) =
                self.blueprint.runtime.update(&self.blueprint.launch(), &limits).await
        {
            self.blueprint.discard(&run, ended).await;
            return Err(error);
        }
        Ok(Some((run, ended)))
    }

    /// Leaves nothing of the last run but how it ended.
    async fn take_down(&self) -> Result<()> {
        let run = self.run();
        // Their processes have been killed with the init's end.
        let _ = timeout(DELETE_PATIENCE, run.execs_ended()).await;
        run.init.io.complete(DELETE_PATIENCE).await;
        self.blueprint.runtime.delete_if_there(&self.blueprint.launch(), false).await?;
        run.close();
        Ok(())
    }

    /// Lets the init of a new run go, if it is still wanted.
    async fn let_go(&self, run: Arc<Run>, ended: ExitReceiver) -> Attempt {
        let pid = run.init.state().pid();
        let Some(started_at) = self.commit(&run) else {
            self.blueprint.discard(&run, ended).await;
            return Attempt::CalledOff;
        };
        if let Err(error) = self.start_run(&run, started_at).await {
            let _ = self.blueprint.runtime.delete(&self.blueprint.launch(), true).await;
            return Attempt::Failed(ended, error);
        }
        self.publish(Event::Start { container_id: self.id.clone(), pid });
        Attempt::Runs(ended)
    }

    /// Makes `run` the present one, unless the restart has been called off. From here on it can't
    /// be called off: the run can only be killed.
    /// Returns when that was.
    fn commit(&self, run: &Arc<Run>) -> Option<SystemTime> {
        if !self.is_waiting() {
            return None;
        }
        let started_at = run.begin(Moment::now());
        let phase = Phase::Running { pid: run.init.state().pid(), started_at };
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(run);
        // Watchers are told when it is so.
        self.situation.send_if_modified(|situation| {
            situation.iter_mut().for_each(|situation| situation.phase = phase.clone());
            false
        });
        Some(started_at)
    }

    async fn start_run(&self, run: &Run, started_at: SystemTime) -> Result<()> {
        let turn = run.init.begin(Action::Start).await?;
        let pid = run.init.state().pid();
        if let Err(error) = self.record.restarted(pid, started_at) {
            warn(format_args!("{error}"));
        }
        self.blueprint.runtime.start(&self.blueprint.launch()).await?;
        run.init.set_state(State::Running { pid }, &turn);
        self.enter(Phase::Running { pid, started_at });
        Ok(())
    }

    /// From now on this is the policy. A restart that is waited for, and that the policy doesn't
    /// call for, won't take place. Returns how the container is with that.
    pub(crate) fn set_restart_policy(&self, policy: RestartPolicy) -> Result<Situation> {
        self.lock_restarts().set_policy(policy);
        self.call_off_unwanted()?;
        self.situation
            .borrow()
            .clone()
            .ok_or_else(|| Error::not_found(format!("container {} has been deleted", self.id)))
    }

    fn call_off_unwanted(&self) -> Result<()> {
        let ending = match self.situation.borrow().as_ref().map(|situation| &situation.phase) {
            Some(Phase::Waiting { ending, .. }) => ending.clone(),
            _ => return Ok(()),
        };
        if !self.lock_restarts().still_wanted(ending.outcome()) {
            self.record.called_off()?;
            self.enter(Phase::Ended { ending });
        }
        Ok(())
    }

    /// The container as it is, and each change of that; `None` when it has been deleted.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Situation>> {
        self.situation.subscribe()
    }

    /// Whether it has ended, and is to be started again.
    pub(super) fn is_waiting(&self) -> bool {
        waits(self.situation.borrow().as_ref())
    }

    /// Tells watchers where it is in its life now.
    pub(super) fn enter(&self, phase: Phase) {
        let restarts = self.lock_restarts().count();
        self.situation.send_replace(Some(Situation { phase, restarts }));
    }

    fn lock_restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waits(situation: Option<&Situation>) -> bool {
    situation.is_some_and(|situation| matches!(situation.phase, Phase::Waiting { .. }))
}
