//! The builds that are under way, by the names that their clients gave them.
//!
//! A client asks for a build, follows it and steers it by three calls at the same time, which may
//! arrive in any order: whoever comes before the build waits for it, but not for long.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tare_proto::builds::google::rpc;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::frontend::Result as Returned;
use tare_proto::builds::pb;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::failure;
use super::identity::random_id;
use crate::error::{Error, Result};
use crate::progress::Journal;
use crate::solve::{Built, Part};

/// Results that one build may have asked for.
const MOST_RESULTS: usize = 10_000;

/// How long a build that is over can still be followed: who does may not have come yet.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// All of them.
#[derive(Default)]
pub(super) struct Jobs {
    known: Arc<watch::Sender<HashMap<String, Arc<Job>>>>,
}

/// Who looks for one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seeker {
    /// Who follows it, even if it is over.
    Follower,
    /// Who steers it.
    Gateway,
}

/// One of them.
pub(super) struct Job {
    /// What its client calls it.
    pub(super) name: String,
    /// Its client's session.
    pub(super) session: String,
    /// What is allowed beside the usual.
    pub(super) allowed: Vec<String>,
    /// What other builds have made for it.
    pub(super) inputs: BTreeMap<String, pb::Definition>,
    /// What it has told.
    pub(super) journal: Journal,
    /// Becomes true at its end.
    over: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was built for it, by ids that only its client knows.
    results: HashMap<String, Outcome>,
    /// What was asked of which front end, the last time.
    asked: (String, BTreeMap<String, String>),
    /// Who waits for what the client says is to come of it.
    verdict: Option<oneshot::Sender<Verdict>>,
}

/// What the client says is to come of a build.
pub(super) enum Verdict {
    /// What it returns.
    Returned(Returned),
    /// Why it failed.
    Failed(rpc::Status),
}

/// One platform's part of what was built.
#[derive(Clone)]
pub(super) struct Outcome {
    /// All of what was built with it.
    pub(super) built: Arc<Built>,
    /// Which part.
    index: usize,
}

impl Outcome {
    /// The part.
    pub(super) fn part(&self) -> Option<&Part> {
        self.built.parts.get(self.index)
    }
}

/// A build under way. Dropped, it has ended.
pub(super) struct Begun<'a> {
    jobs: &'a Jobs,
    /// The build.
    pub(super) job: Arc<Job>,
}

impl Jobs {
    /// Begins what is requested.
    ///
    /// # Errors
    /// If there is one of that name.
    pub(super) fn begin(&self, request: &api::SolveRequest) -> Result<Begun<'_>> {
        let name = &request.r#ref;
        let job = Arc::new(Job {
            name: name.clone(),
            session: request.session.clone(),
            allowed: request.entitlements.clone(),
            inputs: request.frontend_inputs.clone(),
            journal: Journal::default(),
            over: watch::Sender::new(false),
            state: Mutex::default(),
        });
        let mut is_new = true;
        self.known.send_if_modified(|known| {
            is_new = known.get(name).is_none_or(|job| job.is_over());
            if is_new {
                known.insert(name.clone(), Arc::clone(&job));
            }
            is_new
        });
        match is_new {
            true => Ok(Begun { jobs: self, job }),
            false => Err(Error::invalid(format!("job ID {name} exists"))),
        }
    }

    /// The one called `name`, once it is there.
    ///
    /// # Errors
    /// If it doesn't come for as long as is waited for it.
    pub(super) async fn find(&self, name: &str, seeker: Seeker) -> Result<Arc<Job>, Status> {
        self.find_within(name, seeker, seeker.patience()).await
    }

    async fn find_within(
        &self,
        name: &str,
        seeker: Seeker,
        patience: Duration,
    ) -> Result<Arc<Job>, Status> {
        let mut known = self.known.subscribe();
        let is_found = |job: &Arc<Job>| seeker == Seeker::Follower || !job.is_over();
        let there = known.wait_for(|known| known.get(name).is_some_and(is_found));
        match timeout(patience, there).await {
            Ok(Ok(known)) => known.get(name).cloned(),
            // They are there as long as this is.
            Ok(Err(_)) | Err(_) => None,
        }
        .ok_or_else(|| Status::not_found(format!("no such job {name}")))
    }

    /// What was built by any of them, by its id.
    pub(super) fn outcome(&self, id: &str) -> Option<Outcome> {
        self.known.borrow().values().find_map(|job| job.outcome(id))
    }
}

impl Seeker {
    /// How long it waits for a build to begin.
    fn patience(self) -> Duration {
        match self {
            Self::Follower => Duration::from_secs(6),
            Self::Gateway => Duration::from_secs(3),
        }
    }
}

impl Job {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Keeps what was built, part by part: their ids.
    pub(super) fn keep(&self, built: Built) -> Result<Vec<String>> {
        let built = Arc::new(built);
        let mut state = self.lock();
        require_room(&state, built.parts.len())?;
        let mut ids = Vec::new();
        for index in 0..built.parts.len() {
            let id = random_id();
            state.results.insert(id.clone(), Outcome { built: Arc::clone(&built), index });
            ids.push(id);
        }
        Ok(ids)
    }

    /// Keeps what another build has made: its id here.
    pub(super) fn keep_again(&self, outcome: Outcome) -> Result<String> {
        let mut state = self.lock();
        require_room(&state, 1)?;
        let id = random_id();
        state.results.insert(id.clone(), outcome);
        Ok(id)
    }

    /// What was built, by its id.
    pub(super) fn outcome(&self, id: &str) -> Option<Outcome> {
        self.lock().results.get(id).cloned()
    }

    /// Takes note of what is asked of a front end.
    pub(super) fn asks(&self, frontend: &str, attributes: BTreeMap<String, String>) {
        self.lock().asked = (frontend.to_owned(), attributes);
    }

    /// What was asked of which front end.
    pub(super) fn asked(&self) -> (String, BTreeMap<String, String>) {
        self.lock().asked.clone()
    }

    /// What its client will say is to come of it.
    pub(super) fn verdict(&self) -> oneshot::Receiver<Verdict> {
        let (say, verdict) = oneshot::channel();
        self.lock().verdict = Some(say);
        verdict
    }

    /// What is to come of it. Nobody asks twice.
    pub(super) fn decide(&self, verdict: Verdict) -> Result<()> {
        let say = self.lock().verdict.take();
        let say = say.ok_or_else(|| Error::invalid("the build has its result already"))?;
        // Who doesn't wait any more has given it up.
        let _ = say.send(verdict);
        Ok(())
    }

    /// Does `work` for as long as the build is under way.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut over = self.over.subscribe();
        tokio::select! {
            done = work => done,
            _ = over.wait_for(|over| *over) => Err(failure::of_wire(&failure::cancelled())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn require_room(state: &State, more: usize) -> Result<()> {
    match state.results.len() + more > MOST_RESULTS {
        true => Err(Error::invalid(format!("more than {MOST_RESULTS} results in one build"))),
        false => Ok(()),
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.job.over.send_replace(true);
        self.job.journal.end();
        self.job.lock().results.clear();
        let (known, job) = (Arc::clone(&self.jobs.known), Arc::clone(&self.job));
        // Where nothing goes on any more, nobody follows.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            sleep(AFTERWARDS).await;
            known.send_if_modified(|known| match known.get(&job.name) {
                Some(other) if Arc::ptr_eq(other, &job) => known.remove(&job.name).is_some(),
                Some(_) | None => false,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, session: &str) -> api::SolveRequest {
        let (name, session) = (name.to_owned(), session.to_owned());
        api::SolveRequest { r#ref: name, session, ..Default::default() }
    }

    #[tokio::test]
    async fn who_comes_first_waits_a_while_and_who_follows_may_come_late() {
        let jobs = Arc::new(Jobs::default());
        let little = Duration::from_millis(10);
        assert!(jobs.find_within("early", Seeker::Gateway, little).await.is_err());
        let waiting = tokio::spawn({
            let jobs = Arc::clone(&jobs);
            async move { jobs.find("late", Seeker::Gateway).await.map(|job| job.session.clone()) }
        });
        tokio::task::yield_now().await;
        let begun = jobs.begin(&request("late", "session")).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), "session");
        let taken = jobs.begin(&request("late", "other")).map(drop).unwrap_err();
        assert_eq!(taken.message, "job ID late exists");
        drop(begun);
        assert!(jobs.find_within("late", Seeker::Gateway, little).await.is_err());
        assert!(jobs.find_within("late", Seeker::Follower, little).await.is_ok());
        assert!(jobs.begin(&request("late", "other")).is_ok());
    }

    #[tokio::test]
    async fn calls_end_with_their_build() {
        let jobs = Jobs::default();
        let begun = jobs.begin(&request("x", "s")).unwrap();
        let job = Arc::clone(&begun.job);
        let mut verdict = job.verdict();
        let steering = job.during(std::future::pending::<Result<(), _>>());
        let ending = async { drop(begun) };
        let (steered, ()) = tokio::join!(steering, ending);
        assert_eq!(steered.unwrap_err().code(), tonic::Code::Cancelled);
        assert!(verdict.try_recv().is_err());
        let mut follower = job.journal.follow();
        assert!(follower.next().await.is_none());
    }

    #[tokio::test]
    async fn a_build_is_decided_once() {
        let jobs = Jobs::default();
        let begun = jobs.begin(&request("x", "s")).unwrap();
        assert!(begun.job.decide(Verdict::Returned(Returned::default())).is_err());
        let verdict = begun.job.verdict();
        begun.job.decide(Verdict::Returned(Returned::default())).unwrap();
        assert!(begun.job.decide(Verdict::Failed(failure::cancelled())).is_err());
        assert!(matches!(verdict.await, Ok(Verdict::Returned(_))));
    }
}
