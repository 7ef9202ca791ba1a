//! One round: somebody is killed in the middle of something, and then everything is looked at.

use tare_integration::Host;
use tare_integration::footprint::Footprint;
use tare_integration::http::{self, Answer};
use tare_integration::wait::{until, until_true};

use crate::Tried;
use crate::container::{self, State};
use crate::operation::Operation;
use crate::tracer::{End, Tracer, Victim};
use crate::witness::{CODE, Witness, assert_in_order, assert_whole};

/// What is tried again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) victim: Victim,
    pub(crate) operation: Operation,
}

impl Tried for Round {
    /// Kills the victim at its step number `step` and requires that nothing is lost, that the
    /// container can be used, and that nothing is left of it when it is removed.
    fn run(&self, host: &Host, before: &Footprint, step: usize) -> End {
        let Self { victim, operation } = *self;
        let witness = Witness::new(host);
        operation.prepare(host, &witness);
        let shims = container::shims(host);
        let tracer = self.trace(host, &shims, step);
        let answer = operation.perform(&host.places().socket, &witness, &shims);
        let (end, _) = tracer.finish();
        let what =
            format!("{operation:?}, {victim:?} at step {step}: {end:?}, {}", told(answer.as_ref()));
        eprintln!("{what}");
        if victim == Victim::Daemon && end != End::Done {
            host.outlive_daemon();
            host.start_daemon();
        }
        let state = self.settled(host, &what);
        let supervised = !container::shims(host).is_empty();
        if let Some(answer) = &answer {
            let fits = operation.was_told(answer, supervised, &state);
            assert!(fits, "{what}: the answer does not go with {state:?}");
        }
        self.use_it(host, &witness, state, &end, &what);
        until_true(&format!("{what}: the removal"), || {
            [204, 404].contains(&host.delete("/containers/web?force=1").status)
        });
        host.leaves_nothing_since(before);
        end
    }

    /// How many steps there are.
    fn count(&self, host: &Host) -> usize {
        let witness = Witness::new(host);
        self.operation.prepare(host, &witness);
        let shims = container::shims(host);
        let tracer = self.trace(host, &shims, usize::MAX);
        let answer = self.operation.perform(&host.places().socket, &witness, &shims);
        let (_, steps) = tracer.finish();
        assert!(answer.is_some_and(|answer| answer.status < 300), "{self:?}");
        until_true("the removal", || {
            [204, 404].contains(&host.delete("/containers/web?force=1").status)
        });
        steps
    }

    fn clean_up(&self, host: &Host) {
        clean_up(host);
    }
}

impl Round {
    fn trace(self, host: &Host, shims: &[i32], step: usize) -> Tracer {
        let mut processes = vec![host.daemon_process()];
        // A shim that is to be killed anyway is not the victim.
        if self.victim != Victim::Daemon && self.operation != Operation::Lose {
            processes.extend(shims);
        }
        Tracer::start(processes, self.victim, step)
    }

    /// The state that the container comes to; it must be one of those that are true.
    fn settled(self, host: &Host, what: &str) -> State {
        let mut seen = (false, State::Absent);
        let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("a true state", || {
                let supervised = !container::shims(host).is_empty();
                seen = (supervised, container::state(host));
                self.operation.allows(self.victim, supervised, &seen.1).then(|| seen.1.clone())
            })
        }));
        settled.unwrap_or_else(|_| {
            panic!("{what}: it is {:?}, with a shim: {}", seen.1, seen.0);
        })
    }

    /// Uses the container, as it is.
    fn use_it(self, host: &Host, witness: &Witness, state: State, end: &End, what: &str) {
        match state {
            State::Absent => return,
            State::Running => {
                witness.writes_on(what);
                if self.operation != Operation::End {
                    let exec = host.docker("exec web echo works");
                    assert_eq!(exec.stdout, "works\n", "{what}: {exec:?}");
                }
                witness.tell_to_end();
                let answer = host.post("/containers/web/wait", "");
                assert_eq!(answer.json()["StatusCode"], CODE, "{what}: {answer:?}");
                assert_whole(host.docker("logs web").ok_untrimmed(), witness.count(), what);
            }
            State::Exited { .. } => {
                let log = host.docker("logs web");
                // What a shim that was killed had in its hands went with it: output on its way to
                // the log, or what it saved of another's.
                let in_hand = matches!(end, End::Killed(call) if call.ends_with("-json.log"));
                let saving = self.operation == Operation::Lose;
                if self.victim == Victim::Shim && (in_hand || saving) {
                    assert_in_order(log.ok_untrimmed(), what);
                } else {
                    assert_whole(log.ok_untrimmed(), witness.count(), what);
                }
            }
            State::Created | State::Other(_) => {}
        }
        witness.let_run();
        let answer = host.post("/containers/web/start", "");
        assert_eq!(answer.status, 204, "{what}: it can not be started: {answer:?}");
        witness.writes_on(what);
    }
}

/// An answer in a few words.
pub(crate) fn told(answer: Option<&Answer>) -> String {
    match answer {
        None => "no answer".to_owned(),
        Some(answer) => format!("{} {}", answer.status, answer.message()),
    }
}

/// Makes the machine usable again after a round that went wrong.
pub(crate) fn clean_up(host: &Host) {
    if !http::get(&host.places().socket, "/_ping").is_ok_and(|answer| answer.status == 200) {
        host.renew_daemon();
    }
    host.delete("/containers/web?force=1");
}
