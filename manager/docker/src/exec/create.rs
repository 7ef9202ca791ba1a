//! `POST /containers/{id}/exec`: prepares a process.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tare_core::container::{ExecConfig, TerminalSize};

use crate::api::Api;
use crate::body::Json;
use crate::error::{Error, Result};
use crate::stream::detach::DetachKeys;

/// What to run. All that docker knows is here; what it doesn't know it passes over, and clients count
/// on that: they send us what they tell themselves.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ExecBody {
    user: Option<String>,
    privileged: Option<bool>,
    tty: Option<bool>,
    console_size: Option<[u32; 2]>,
    attach_stdin: Option<bool>,
    attach_stderr: Option<bool>,
    attach_stdout: Option<bool>,
    detach_keys: Option<String>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    cmd: Option<Vec<String>>,
}

/// The prepared process.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    id: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<ExecBody>,
) -> Result<(StatusCode, axum::Json<Created>)> {
    let config = body.into_domain()?;
    let container = api.engine.containers.find(&name)?;
    let id = api.engine.containers.exec_create(&container.id, config).await?;
    Ok((StatusCode::CREATED, axum::Json(Created { id })))
}

impl ExecBody {
    fn into_domain(self) -> Result<ExecConfig> {
        let cmd = self.cmd.unwrap_or_default();
        if cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        let detach_keys = self.detach_keys.unwrap_or_default();
        if !detach_keys.is_empty() {
            let wrong = |_| Error::invalid(format!("Invalid escape keys ({detach_keys}) provided"));
            DetachKeys::parse(Some(&detach_keys)).map_err(wrong)?;
        }
        let tty = self.tty.unwrap_or_default();
        let size = self.console_size.filter(|_| tty);
        Ok(ExecConfig {
            user: self.user.unwrap_or_default(),
            privileged: self.privileged.unwrap_or_default(),
            tty,
            size: size.map(|[height, width]| TerminalSize { height, width }),
            attach_stdin: self.attach_stdin.unwrap_or_default(),
            attach_stdout: self.attach_stdout.unwrap_or_default(),
            attach_stderr: self.attach_stderr.unwrap_or_default(),
            detach_keys,
            env: self.env.unwrap_or_default(),
            working_dir: self.working_dir.unwrap_or_default(),
            cmd,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ExecConfig> {
        crate::body::parse::<ExecBody>(json.as_bytes())?.into_domain()
    }

    #[test]
    fn what_the_cli_sends_is_read() {
        let config = parse(
            r#"{"User":"1","Privileged":false,"Tty":true,"ConsoleSize":[24,80],"AttachStdin":true,
            "AttachStderr":true,"AttachStdout":true,"DetachKeys":"","Env":["A=1"],
            "WorkingDir":"/w","Cmd":["sh","-c","id"]}"#,
        )
        .unwrap();
        assert!(config.tty && config.attach_stdin);
        assert_eq!(config.size, Some(TerminalSize { height: 24, width: 80 }));
        assert_eq!(config.cmd, ["sh", "-c", "id"]);
    }

    #[test]
    fn what_the_python_client_sends_is_read() {
        let config = parse(
            r#"{"Container":"c1","User":"","Privileged":false,"Tty":false,"AttachStdin":false,
            "AttachStdout":true,"AttachStderr":true,"Cmd":["true"],"Env":null,"detachKeys":"a,b"}"#,
        )
        .unwrap();
        assert_eq!(config.detach_keys, "a,b");
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse("{}").unwrap_err().to_string(), "No exec command specified");
        assert!(parse(r#"{"Cmd":["a"],"DetachKeys":"ctrl-1"}"#).is_err());
        assert!(parse(r#"{"Cmd":"a"}"#).is_err());
    }
}
