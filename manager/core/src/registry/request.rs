//! Requests to registries, and what comes of them.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Body, Method, Response, Url};

use super::failure::{self, Failure};

/// A request that can be sent several times.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// A repository that must be readable besides the session's own.
    pub(super) also_read: Option<String>,
}

/// What a request carries.
pub(super) enum Content {
    Nothing,
    Bytes(Bytes),
    /// Made anew for each try.
    Stream(Box<dyn Fn() -> Body + Send + Sync>),
}

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        let headers = HeaderMap::new();
        Self { method, url, headers, content: Content::Nothing, also_read: None }
    }

    pub(super) fn name(&self) -> String {
        failure::name(self.method.as_str(), &self.url)
    }
}

/// An answer that is no error.
pub(super) async fn judged(answer: Response) -> Result<Response, Failure> {
    if answer.status().is_success() { Ok(answer) } else { Err(Failure::refused(answer).await) }
}

/// All of an answer that must not be longer than `limit`.
pub(super) async fn whole(
    mut answer: Response,
    limit: u64,
    request: &str,
) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let broken = |error| Failure::broken(request, &error);
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if (content.len() + piece.len()) as u64 > limit {
            return Err(Failure::Wrong(format!(
                "{request}: the answer is longer than {limit} bytes"
            )));
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}
