//! `POST /commit`: makes an image of a container.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use tare_core::container::CommitOptions;

use super::request::CreateBody;
use crate::api::Api;
use crate::body::{self, OptionalJson};
use crate::error::{Error, Result};
use crate::image::import::reference;
use crate::query::Query;
use crate::version::ApiVersion;

/// What the query says; some clients say it in the body once more.
const OF_THE_QUERY: [&str; 7] =
    ["container", "repo", "tag", "comment", "author", "pause", "changes"];

/// The image that was made.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Committed {
    id: String,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
    OptionalJson(config): OptionalJson<Option<Map<String, Value>>>,
) -> Result<(StatusCode, Json<Committed>)> {
    let container = api.engine.containers.find(query.text("container").unwrap_or_default())?;
    let text = |name| query.text(name).unwrap_or_default().to_owned();
    let options = CommitOptions {
        reference: reference(query.text("repo"), query.text("tag"))?,
        author: text("author"),
        message: text("comment"),
        changes: query.all("changes").map(str::to_owned).collect(),
        config: match config.map(settings).transpose()?.flatten() {
            Some(settings) => Some(settings.into_config(version)?),
            None => None,
        },
        pause: query.text("pause").is_none() || query.flag("pause"),
    };
    let image = api.engine.containers.commit_image(&container.id, options).await?;
    Ok((StatusCode::CREATED, Json(Committed { id: image.to_string() })))
}

/// The settings that the body has.
fn settings(mut body: Map<String, Value>) -> Result<Option<CreateBody>> {
    body.retain(|name, _| !OF_THE_QUERY.contains(&name.as_str()));
    if body.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_vec(&body);
    let text = text.map_err(|error| Error::invalid(format!("invalid JSON: {error}")))?;
    body::parse(&text).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Option<CreateBody>> {
        settings(body.as_object().unwrap().clone())
    }

    #[test]
    fn what_the_query_says_may_be_said_again() {
        assert!(read(json!({})).unwrap().is_none());
        assert!(read(json!({ "repo": "x", "changes": "CMD x", "pause": true })).unwrap().is_none());
        assert!(read(json!({ "repo": "x", "User": "alice" })).unwrap().is_some());
        let error = read(json!({ "User": 1 })).err().unwrap().to_string();
        assert!(error.starts_with("invalid request body: User: invalid type"), "{error}");
    }
}
