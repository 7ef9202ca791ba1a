//! Blobs: downloads that go on where they stopped.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::mpsc;

use super::Session;
use super::failure::{self, Failure};
use super::request::Request;
use crate::error::Error;
use crate::image::Digest;

/// A try that brings this many bytes has got somewhere: the tries are counted anew.
const PROGRESS: u64 = 1 << 20;

/// A blob to be fetched, as a manifest describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Where a blob's bytes go.
pub(crate) trait Sink: Send {
    /// The next bytes.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Error>> + Send;

    /// The next try comes after this time.
    fn waiting(&mut self, wait: Duration) {
        let _ = wait;
    }
}

impl Sink for mpsc::Sender<Bytes> {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.send(bytes).await.map_err(|_| Error::system("nobody takes what is fetched"))
    }
}

/// A small blob in memory.
struct Memory(Vec<u8>);

impl Sink for &mut Memory {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.0.extend_from_slice(&bytes);
        Ok(())
    }
}

impl Session {
    /// Sends the bytes of a blob, from number `from` on, to `sink`: never more of them than the
    /// blob has, and all of them unless it fails. Their digest is the caller's to check.
    pub(crate) async fn fetch(
        &self,
        blob: Wanted,
        from: u64,
        mut sink: impl Sink,
    ) -> Result<(), Failure> {
        let mut position = from;
        let (mut attempt, mut began) = (1, from);
        while position < blob.size {
            let failure = match self.fetch_on(blob, &mut position, &mut sink).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if position - began >= PROGRESS {
                attempt = 1;
            }
            let wait = self.patience().after(attempt, failure.retry_after());
            // Refusals that may pass were waited for already.
            let goes_on = matches!(failure, Failure::Broken { .. });
            let Some(wait) = wait.filter(|_| goes_on) else { return Err(failure) };
            tracing::info!(digest = %blob.digest, position, ?failure, "going on with a download");
            sink.waiting(wait);
            tokio::time::sleep(wait).await;
            (attempt, began) = (attempt + 1, position);
        }
        Ok(())
    }

    /// All of a small blob, its digest checked.
    pub(crate) async fn small_blob(&self, blob: Wanted, limit: u64) -> Result<Vec<u8>, Failure> {
        let Wanted { digest, size } = blob;
        if size > limit {
            return Err(Failure::Wrong(format!(
                "the blob {digest} has {size} bytes; {limit} are allowed"
            )));
        }
        let mut memory = Memory(Vec::new());
        self.fetch(blob, 0, &mut memory).await?;
        if Digest::of(&memory.0) != digest {
            return Err(Failure::Wrong(format!(
                "image config verification failed for digest {digest}"
            )));
        }
        Ok(memory.0)
    }

    /// One try to get the rest of a blob.
    async fn fetch_on(
        &self,
        blob: Wanted,
        position: &mut u64,
        sink: &mut impl Sink,
    ) -> Result<(), Failure> {
        let asked = *position;
        let answer = self
            .ask(|endpoint| {
                let url = self.url(endpoint, &format!("blobs/{}", blob.digest))?;
                let mut request = Request::new(Method::GET, url);
                let identity = HeaderValue::from_static("identity");
                request.headers.insert(ACCEPT_ENCODING, identity);
                if asked > 0 {
                    let range = HeaderValue::from_str(&format!("bytes={asked}-"));
                    request.headers.extend(range.ok().map(|range| (RANGE, range)));
                }
                Ok(request)
            })
            .await?;
        let mut skip = begins_before(&answer, blob, asked)?;
        receive(answer, blob, position, &mut skip, sink).await
    }
}

/// How many bytes that we have the answer begins with.
fn begins_before(answer: &Response, blob: Wanted, asked: u64) -> Result<u64, Failure> {
    let request = failure::name("GET", answer.url());
    if answer.status() == StatusCode::PARTIAL_CONTENT {
        let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let start = range.and_then(start_of);
        return match start {
            Some(start) if start <= asked => Ok(asked - start),
            _ => Err(Failure::Wrong(format!("{request}: another part came than was asked for"))),
        };
    }
    let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if let Some(length) = length.and_then(|length| length.parse::<u64>().ok())
        && length != blob.size
    {
        return Err(Failure::Wrong(format!(
            "{request}: the blob has {length} bytes, but {} according to the manifest",
            blob.size
        )));
    }
    // The registry knows no ranges: all of it comes again.
    Ok(asked)
}

/// `bytes 5-9/10` begins at 5.
fn start_of(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes")?.trim_start().split_once('-')?.0.parse().ok()
}

async fn receive(
    mut answer: Response,
    blob: Wanted,
    position: &mut u64,
    skip: &mut u64,
    sink: &mut impl Sink,
) -> Result<(), Failure> {
    let request = failure::name("GET", answer.url());
    while *position < blob.size {
        let piece = answer.chunk().await.map_err(|error| Failure::broken(&request, &error))?;
        let Some(mut piece) = piece else {
            return Err(Failure::Broken {
                text: format!("{request}: unexpected EOF after {position} bytes of {}", blob.size),
                connected: true,
            });
        };
        let known = (*skip).min(piece.len() as u64);
        *skip -= known;
        let mut piece = piece.split_off(usize::try_from(known).unwrap_or(usize::MAX));
        let left = usize::try_from(blob.size - *position).unwrap_or(usize::MAX);
        // What comes after the end is nobody's.
        piece.truncate(left);
        if !piece.is_empty() {
            *position += piece.len() as u64;
            sink.take(piece).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(start_of("bytes 5-9/10"), Some(5));
        assert_eq!(start_of("bytes 0-0/*"), Some(0));
        for wrong in ["", "bytes */10", "items 1-2/3", "bytes x-9/10"] {
            assert_eq!(start_of(wrong), None, "{wrong}");
        }
    }
}
