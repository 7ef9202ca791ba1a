//! `/containers/{id}/archive`: copying files, in docker's terms.

mod stat;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tare_core::container::{CopyInto, PathStat};

use crate::api::Api;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::stream::archive;
use crate::stream::body_reader::BodyReader;

/// The header that says what is at the path.
const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// `HEAD`: what is there?
pub(super) async fn head(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let path = path(&query)?;
    let container = api.engine.containers.find(&name)?;
    let stat = api.engine.containers.path_stat(&container.id, &name, path).await?;
    Ok((StatusCode::OK, [(STAT, header(&stat)?)]).into_response())
}

/// `GET`: what is there, as an archive.
pub(super) async fn get(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let path = path(&query)?;
    let container = api.engine.containers.find(&name)?;
    let (stat, files) = api.engine.containers.copy_out(&container.id, &name, path).await?;
    let mut response = archive::response(files).await?;
    response.headers_mut().insert(STAT, header(&stat)?);
    Ok(response)
}

/// `PUT`: unpacks an archive in a directory.
pub(super) async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Query,
    request: Request,
) -> Result<StatusCode> {
    // First of all: a client that is refused is still listened to.
    let files = BodyReader::new(request.into_body());
    let path = path(&query)?;
    let container = api.engine.containers.find(&name)?;
    let options = CopyInto {
        replace_directories: !query.flag("noOverwriteDirNonDir"),
        own: query.flag("copyUIDGID"),
    };
    api.engine.containers.copy_in(&container.id, &name, path, options, files).await?;
    Ok(StatusCode::OK)
}

fn path(query: &Query) -> Result<&str> {
    query.text("path").ok_or_else(|| Error::invalid("bad parameter: path cannot be empty"))
}

fn header(stat: &PathStat) -> Result<HeaderValue> {
    let wrong = |error| tare_core::Error::system(format!("encode what is at the path: {error}"));
    HeaderValue::from_str(&stat::encoded(stat)?).map_err(|error| wrong(error.to_string()).into())
}
