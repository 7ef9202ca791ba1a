//! `GET /exec/{id}/json`: what became of a process.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use tare_core::container::ExecState;

use crate::api::Api;
use crate::error::Result;

/// An exec instance.
#[derive(Debug, Serialize)]
pub(super) struct Inspect {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Running")]
    running: bool,
    #[serde(rename = "ExitCode")]
    exit_code: Option<i64>,
    #[serde(rename = "ProcessConfig")]
    process: Process,
    #[serde(rename = "OpenStdin")]
    open_stdin: bool,
    #[serde(rename = "OpenStderr")]
    open_stderr: bool,
    #[serde(rename = "OpenStdout")]
    open_stdout: bool,
    #[serde(rename = "CanRemove")]
    can_remove: bool,
    #[serde(rename = "ContainerID")]
    container_id: String,
    #[serde(rename = "DetachKeys")]
    detach_keys: String,
    #[serde(rename = "Pid")]
    pid: u32,
}

#[derive(Debug, Serialize)]
struct Process {
    tty: bool,
    entrypoint: String,
    arguments: Vec<String>,
    privileged: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Inspect>> {
    Ok(Json(api.engine.containers.exec_inspect(&id)?.into()))
}

impl From<ExecState> for Inspect {
    fn from(exec: ExecState) -> Self {
        let mut words = exec.config.cmd.into_iter();
        Self {
            id: exec.id,
            running: exec.running,
            exit_code: exec.exit_code,
            process: Process {
                tty: exec.config.tty,
                entrypoint: words.next().unwrap_or_default(),
                arguments: words.collect(),
                privileged: exec.config.privileged,
                user: exec.config.user,
            },
            open_stdin: exec.config.attach_stdin,
            open_stderr: exec.config.attach_stderr,
            open_stdout: exec.config.attach_stdout,
            can_remove: false,
            container_id: exec.container.to_string(),
            detach_keys: exec.config.detach_keys,
            pid: exec.pid.unwrap_or_default(),
        }
    }
}
