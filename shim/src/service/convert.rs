//! From the task's types to the API's, and from errors to statuses.

use std::sync::Arc;

use prost::Message;
use prost_types::{Any, Timestamp};
use tare_proto::containerd::runc::v1::ProcessDetails;
use tare_proto::containerd::task::v3 as api;
use tare_proto::containerd::v1::types::{ProcessInfo, Status as TaskStatus};
use tonic::{Code, Status};

use crate::error::{Error, Kind, Result};
use crate::reaper::Exit;
use crate::task::{Exec, Process, Run, State, Task};

/// What State says of a process.
pub(super) fn describe(task: &Task, run: &Run, id: &str, process: &Process) -> api::StateResponse {
    let state = process.state();
    let container_is_paused = matches!(run.init.state(), State::Paused { .. });
    let (status, exit) = match state {
        // It couldn't be started: to containerd, it is as it was made.
        State::Stopped { pid: 0, .. } => (TaskStatus::Created, None),
        State::Stopped { exit, .. } => (TaskStatus::Stopped, Some(exit)),
        State::Paused { .. } => (TaskStatus::Paused, None),
        State::Running { .. } if container_is_paused => (TaskStatus::Paused, None),
        State::Running { .. } => (TaskStatus::Running, None),
        State::Added | State::Created { .. } => (TaskStatus::Created, None),
    };
    api::StateResponse {
        id: id.to_owned(),
        bundle: task.bundle.display().to_string(),
        pid: state.pid(),
        status: status.into(),
        stdin: process.stdio.stdin.clone(),
        stdout: process.stdio.stdout.clone(),
        stderr: process.stdio.stderr.clone(),
        terminal: process.stdio.terminal,
        exit_status: exit.map_or(0, |exit| exit.status),
        exited_at: exit.map(|exit| Timestamp::from(exit.at)),
        exec_id: if id == task.id { String::new() } else { id.to_owned() },
    }
}

/// What Delete says of a process that was in `state`.
pub(super) fn deleted(state: State) -> api::DeleteResponse {
    let exit = match state {
        State::Stopped { exit, .. } => Some(exit),
        State::Added | State::Created { .. } | State::Running { .. } | State::Paused { .. } => None,
    };
    api::DeleteResponse {
        pid: state.pid(),
        exit_status: exit.map_or(0, |exit: Exit| exit.status),
        exited_at: exit.map(|exit| Timestamp::from(exit.at)),
    }
}

/// One line of Pids.
pub(super) fn process_info(pid: u32, execs: &[Arc<Exec>]) -> ProcessInfo {
    let exec = execs.iter().find(|exec| exec.process.state().pid() == pid);
    let info = exec.map(|exec| Any {
        type_url: "containerd.runc.v1.ProcessDetails".to_owned(),
        value: ProcessDetails { exec_id: exec.id.clone() }.encode_to_vec(),
    });
    ProcessInfo { pid, info }
}

/// One side of a terminal.
pub(super) fn length(characters: u32) -> Result<u16> {
    u16::try_from(characters)
        .map_err(|_| Error::invalid(format!("a terminal can't be {characters} characters long")))
}

/// The one table from kinds of errors to gRPC's codes, as containerd's clients read them.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::AlreadyExists => Code::AlreadyExists,
            Kind::InvalidArgument => Code::InvalidArgument,
            Kind::FailedPrecondition => Code::FailedPrecondition,
            Kind::Unimplemented => Code::Unimplemented,
            Kind::Unknown => Code::Unknown,
        };
        Status::new(code, error.to_string())
    }
}
