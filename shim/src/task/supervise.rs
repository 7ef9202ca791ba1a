//! A container from one run to the next: its ends are seen and put on record, and by its policy it
//! is started again.
//!
//! Whether there will be another run is decided in one go with the end's being put on record. From
//! then on until the next init is let go, the restart can be called off: whoever does that leaves
//! [`Phase::Ended`], and the one who was about to restart it finds that at its next step.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::container::{DELETE_PATIENCE, KILL, Task};
use super::run::{Moment, Run};
use super::situation::{Ending, NOT_STARTED, Phase, Situation};
use super::state::{Action, State};
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
        self.stop_health();
        if self.shares_pid_namespace {
            // Nothing is left to kill where the init was alone.
            let runtime = &self.blueprint.runtime;
            let _ = runtime.kill(&self.blueprint.launch(), KILL, true).await;
        }
        // Their ends are told first; one that is being started fails first.
        let _ = timeout(DELETE_PATIENCE, run.execs_ended()).await;
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
                self.enter(Phase::Ended { ending });
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
                self.enter(Phase::Waiting { ending, restart_at });
            }
            None => self.enter(Phase::Ended { ending }),
        }
        delay
    }

    /// Waits for so long, but no longer than the restart is wanted.
    async fn is_called_off_within(&self, delay: Duration) -> bool {
        let mut situation = self.watch();
        let is_waiting =
            |situation: &Option<Situation>| situation.as_ref().is_some_and(Situation::is_waiting);
        let called_off = situation.wait_for(|situation| !is_waiting(situation));
        timeout(delay, called_off).await.is_ok()
    }

    async fn run_again(self: &Arc<Self>) -> Attempt {
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
    async fn let_go(self: &Arc<Self>, run: Arc<Run>, ended: ExitReceiver) -> Attempt {
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
    /// be called off: the run can only be killed. Returns when that was.
    fn commit(&self, run: &Arc<Run>) -> Option<SystemTime> {
        if !self.is_waiting() {
            return None;
        }
        let started_at = run.begin(Moment::now());
        let phase = Phase::Running { pid: run.init.state().pid(), started_at };
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(run);
        let next = self.recorded(phase);
        // Watchers are told when it is so.
        self.situation.send_if_modified(|situation| {
            *situation = next;
            false
        });
        Some(started_at)
    }

    async fn start_run(self: &Arc<Self>, run: &Arc<Run>, started_at: SystemTime) -> Result<()> {
        let turn = run.init.begin(Action::Start).await?;
        let pid = run.init.state().pid();
        self.blueprint.runtime.start(&self.blueprint.launch()).await?;
        run.init.set_state(State::Running { pid }, &turn);
        self.begin_health(run);
        self.enter(Phase::Running { pid, started_at });
        Ok(())
    }
}
