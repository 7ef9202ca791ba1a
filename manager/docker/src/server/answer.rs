//! One request and its answer: the version in its path, and the headers of every answer.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use hyper::body::Incoming;
use tower::ServiceExt;

use super::unread;
use crate::error::Error;
use crate::system;
use crate::version::{self, ApiVersion};

/// What whole answers are.
const JSON: &str = "application/json";

/// Answers one request: finds the version, lets the router work, and adds the common headers.
pub(super) async fn answer(
    router: Router,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match versioned(request) {
        // As docker does, for whoever asks what there is.
        Ok(request) if request.method() == Method::OPTIONS => StatusCode::OK.into_response(),
        Ok(request) if request.method() == Method::HEAD && !has_head(request.uri().path()) => {
            Error::page_not_found().into_response()
        }
        Ok(request) => {
            let (request, unread) = unread::lend(request);
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            unread.read_some().await;
            response
        }
        Err(error) => error.into_response(),
    };
    response = with_line_end(response).await;
    for (name, value) in common_headers() {
        response.headers_mut().insert(name, value);
    }
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    tare_core::memory::is_spare();
    Ok(response)
}

/// Takes the version out of a request's path and puts it among the extensions.
fn versioned(mut request: Request<Incoming>) -> Result<Request<Body>, Error> {
    // Names may come with docker's leading slash: `/containers//web/json`.
    let mut path = request.uri().path().to_owned();
    while let Some(double) = path.find("//") {
        path.remove(double);
    }
    let (version, rest) = version::split(&path)?;
    let target = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let target = PathAndQuery::try_from(target).map_err(|_| Error::page_not_found())?;
    *request.uri_mut() = Uri::from(target);
    request.extensions_mut().insert(version);
    Ok(request.map(Body::new))
}

/// Whether a path can be asked for its headers alone. Others may have bodies without an end.
fn has_head(path: &str) -> bool {
    path == "/_ping" || (path.starts_with("/containers/") && path.ends_with("/archive"))
}

/// Ends JSON that is whole with a line feed, as docker's does: people look at it with curl.
async fn with_line_end(response: Response) -> Response {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == JSON);
    let is_whole = response.body().size_hint().exact().is_some_and(|size| size > 0);
    if !is_json || !is_whole {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    // It is in memory already, so that nothing can go wrong.
    let mut text = BytesMut::from(to_bytes(body, usize::MAX).await.unwrap_or_default());
    text.extend_from_slice(b"\n");
    Response::from_parts(parts, Body::from(text.freeze()))
}

/// Headers of every answer.
fn common_headers() -> [(HeaderName, HeaderValue); 4] {
    let api = HeaderValue::from_str(&ApiVersion::NEWEST.to_string());
    [
        (HeaderName::from_static("api-version"), api.unwrap_or(HeaderValue::from_static(""))),
        (HeaderName::from_static("ostype"), HeaderValue::from_static("linux")),
        (HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false")),
        (HeaderName::from_static("server"), HeaderValue::from_static(system::SERVER)),
    ]
}
