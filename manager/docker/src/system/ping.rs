//! `GET` and `HEAD /_ping`: is it there, and what does it speak.

use axum::http::{HeaderName, HeaderValue, header};

/// The builder that clients should use: 1 is the one without BuildKit.
const BUILDER: &str = "1";

type Headers = [(HeaderName, HeaderValue); 5];

pub(super) async fn get() -> (Headers, &'static str) {
    (headers(), "OK")
}

pub(super) async fn head() -> Headers {
    headers()
}

fn headers() -> Headers {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (HeaderName::from_static("builder-version"), HeaderValue::from_static(BUILDER)),
        (HeaderName::from_static("swarm"), HeaderValue::from_static("inactive")),
    ]
}
