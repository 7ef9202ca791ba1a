//! What is asked of the daemon while somebody is killed, and how it can be afterwards.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare_integration::Host;
use tare_integration::http::{self, Answer};

use crate::container::State;
use crate::tracer::Victim;
use crate::witness::{CODE, Witness};

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It makes a container.
    Create,
    /// It starts one.
    Start,
    /// It runs a process in one that runs.
    Exec,
    /// It learns that one has ended by itself.
    End,
    /// It removes one that runs.
    Remove,
    /// It learns that the shim of one has been killed.
    Lose,
}

/// The code of a container whose end nobody saw, or that was killed.
const KILLED: i64 = 137;

impl Operation {
    /// Brings the machine to where the operation begins.
    pub(crate) fn prepare(self, host: &Host, witness: &Witness) {
        witness.forget();
        if self == Self::Create {
            return;
        }
        let answer = host.post("/containers/create?name=web", &witness.body());
        assert_eq!(answer.status, 201, "{answer:?}");
        if self == Self::Start {
            return;
        }
        let answer = host.post("/containers/web/start", "");
        assert_eq!(answer.status, 204, "{answer:?}");
        witness.writes_on("before");
    }

    /// Asks for it, and waits for the answer: `None` if the connection breaks off. `shims` are
    /// those of the container.
    pub(crate) fn perform(self, socket: &Path, witness: &Witness, shims: &[i32]) -> Option<Answer> {
        let answer = match self {
            Self::Create => http::post(socket, "/containers/create?name=web", &witness.body()),
            Self::Start => http::post(socket, "/containers/web/start", ""),
            Self::Exec => exec(socket),
            Self::End => {
                witness.tell_to_end();
                http::post(socket, "/containers/web/wait", "")
            }
            Self::Remove => http::delete(socket, "/containers/web?force=1"),
            Self::Lose => {
                for shim in shims {
                    let _ = kill(Pid::from_raw(*shim), Signal::SIGKILL);
                }
                http::post(socket, "/containers/web/wait", "")
            }
        };
        // The head of an answer to a wait comes before the wait.
        let waited = matches!(self, Self::End | Self::Lose);
        let whole = |answer: &Answer| !waited || !answer.body.is_empty();
        answer.ok().filter(|answer| answer.status != 0 && whole(answer))
    }

    /// Whether the container can be like this after `victim` was killed. `supervised` is whether
    /// its shim lives.
    pub(crate) fn allows(self, victim: Victim, supervised: bool, state: &State) -> bool {
        use State::{Absent, Created, Exited, Running};
        let lost = |code: i64, error: &str| !supervised && code == KILLED && !error.is_empty();
        match (self, state) {
            (Self::Create, Absent | Created) | (Self::Start, Created) | (Self::Remove, Absent) => {
                true
            }
            (Self::Start | Self::Exec, Running) => supervised,
            (Self::Start | Self::Exec, Exited { code, error }) => {
                victim == Victim::Shim && lost(*code, error)
            }
            (Self::End, Exited { code, error }) => {
                *code == CODE && error.is_empty() || victim == Victim::Shim && lost(*code, error)
            }
            // Whoever was killed, the container may not have been yet.
            (Self::Remove, Running) => supervised,
            (Self::Remove, Exited { code, .. }) => *code == KILLED,
            (Self::Lose, Exited { code, error }) => lost(*code, error),
            _ => false,
        }
    }

    /// Whether this answer and that state go together.
    pub(crate) fn was_told(self, answer: &Answer, supervised: bool, state: &State) -> bool {
        if answer.status >= 400 {
            return !answer.message().is_empty();
        }
        match self {
            Self::Create => *state == State::Created,
            Self::Start => *state == State::Running || !supervised,
            Self::Exec => true,
            Self::End | Self::Lose => {
                let told = answer.json()["StatusCode"].as_i64();
                matches!(state, State::Exited { code, .. } if told == Some(*code))
            }
            Self::Remove => *state == State::Absent,
        }
    }
}

/// Runs a process in the container, with its output.
fn exec(socket: &Path) -> std::io::Result<Answer> {
    let body = r#"{"Cmd": ["sh", "-c", "echo from exec"], "AttachStdout": true}"#;
    let created = http::post(socket, "/containers/web/exec", body)?;
    if created.status != 201 {
        return Ok(created);
    }
    let id = created.json()["Id"].as_str().unwrap_or_default().to_owned();
    http::post(socket, &format!("/exec/{id}/start"), r#"{"Detach": false}"#)
}
