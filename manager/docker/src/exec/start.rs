//! `POST /exec/{id}/start`: starts a prepared process.

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tare_core::container::{ExecConfig, ExecStart, TerminalSize};

use crate::api::Api;
use crate::body::OptionalJson;
use crate::error::Result;
use crate::stream::detach::DetachKeys;
use crate::stream::hijack::Channel;
use crate::stream::session::{ClientInput, InputEnd};
use crate::version::ApiVersion;

/// How to start it. What docker doesn't know it passes over: node's client tells us what it tells
/// itself, such as to take the connection over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StartBody {
    detach: Option<bool>,
    tty: Option<bool>,
    console_size: Option<[u32; 2]>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response> {
    let channel = Channel::without_body(&mut request);
    let OptionalJson(body) = OptionalJson::<StartBody>::from_request(request, &()).await?;
    let exec = api.engine.containers.exec_inspect(&id)?;
    let detach = body.detach.unwrap_or_default();
    let tty = body.tty.unwrap_or_default();
    let size = body.console_size.filter(|_| tty);
    let size = size.map(|[height, width]| TerminalSize { height, width });
    let input = input(&exec.config)?;
    let start = ExecStart { detach, size };
    let (mut attachment, starting) = api.engine.containers.exec_start(&id, start)?;
    // Whether output comes in frames is for the one who reads it to say, whatever the process has.
    attachment.terminal = tty;
    if detach {
        starting.await?;
        return Ok(StatusCode::OK.into_response());
    }
    // A process that can't be started says so where its output would have been; the client asks for
    // its exit code.
    Ok(channel.connect_when(starting, attachment, input, version).await)
}

/// What the client may send.
fn input(config: &ExecConfig) -> Result<ClientInput> {
    if !config.attach_stdin {
        return Ok(ClientInput::None);
    }
    let keys = Some(config.detach_keys.as_str()).filter(|keys| !keys.is_empty());
    let detach_keys = config.tty.then(|| DetachKeys::parse(keys)).transpose()?;
    let end = if config.tty { InputEnd::EndsSession } else { InputEnd::ClosesStdin };
    Ok(ClientInput::Stdin { end, detach_keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        let parse = |text: &str| crate::body::parse::<StartBody>(text.as_bytes()).unwrap();
        assert_eq!(parse(r#"{"Tty":true,"Detach":false,"ConsoleSize":[24,80]}"#).tty, Some(true));
        assert_eq!(parse(r#"{"hijack":true,"stdin":true,"tty":true}"#).tty, Some(true));
        assert!(crate::body::parse::<StartBody>(br#"{"Tty":1}"#).is_err());
    }
}
