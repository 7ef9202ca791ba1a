//! `GET` and `HEAD /_ping`: is it there, and what does it speak.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};

use crate::api::Api;

/// The builder that clients should use: the one with BuildKit, and the one without.
const BUILDKIT: &str = "2";
const CLASSIC: &str = "1";

type Headers = [(HeaderName, HeaderValue); 5];

pub(super) async fn get(State(api): State<Api>) -> (Headers, &'static str) {
    (headers(&api), "OK")
}

pub(super) async fn head(State(api): State<Api>) -> Headers {
    headers(&api)
}

fn headers(api: &Api) -> Headers {
    let builder = if api.builds.builder().settings.prefers_classic { CLASSIC } else { BUILDKIT };
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (HeaderName::from_static("builder-version"), HeaderValue::from_static(builder)),
        (HeaderName::from_static("swarm"), HeaderValue::from_static("inactive")),
    ]
}
