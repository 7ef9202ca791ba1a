//! `POST /containers/{id}/wait`: answers when a container ends.
//!
//! The head of the answer goes out at once: a client that has it knows that it misses nothing, and
//! starts the container.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tare_core::container::{ExitOutcome, WaitCondition};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::version::ApiVersion;

/// The first version with conditions, whose answer begins before the end.
const CONDITION_SINCE: ApiVersion = ApiVersion::new(1, 30);

/// How it ended.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OutcomeError>,
    status_code: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OutcomeError {
    message: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let condition = match query.text("condition").filter(|_| version >= CONDITION_SINCE) {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => return Err(Error::invalid(format!("invalid condition: {other:?}"))),
    };
    let container = api.engine.containers.find(&name)?;
    let end = api.engine.containers.wait(&container.id, condition)?;
    let outcome = async move {
        tokio::select! {
            ended = end => line(ended),
            () = api.closing.wait() => line(Err(tare_core::Error::system("tared is ending"))),
        }
    };
    let body = if version < CONDITION_SINCE {
        Body::from(outcome.await.map_err(|error| tare_core::Error::system(error.to_string()))?)
    } else {
        Body::from_stream(stream::once(outcome))
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn line(ended: tare_core::Result<ExitOutcome>) -> serde_json::Result<Vec<u8>> {
    let outcome = match ended {
        Ok(ExitOutcome { code, error }) => {
            Outcome { status_code: code, error: error.map(|message| OutcomeError { message }) }
        }
        Err(error) => {
            Outcome { status_code: -1, error: Some(OutcomeError { message: error.to_string() }) }
        }
    };
    let mut line = serde_json::to_vec(&outcome)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_one_line() {
        let plain = line(Ok(ExitOutcome { code: 3, error: None })).unwrap();
        assert_eq!(plain, b"{\"StatusCode\":3}\n");
        let failed = line(Ok(ExitOutcome { code: 127, error: Some("no".to_owned()) })).unwrap();
        assert_eq!(failed, b"{\"Error\":{\"Message\":\"no\"},\"StatusCode\":127}\n");
    }
}
