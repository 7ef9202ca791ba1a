//! Blobs go to a registry: all at once, or piece by piece where that failed.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::Session;
use super::blob::Wanted;
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::request::{Content, Request};
use crate::error::Error;
use crate::image::Digest;

/// Bytes that are read from the disk at once.
const PIECE: usize = 256 << 10;
/// Bytes of one part, where a registry, or what stands before it, doesn't take all at once.
const PART: u64 = 32 << 20;
/// How many times the usual patience a registry gets that has all of a blob.
const MOST_IDLE_AT_END: u32 = 10;

/// How a blob came to be in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upload {
    /// It is there already.
    Known,
    /// The registry has it in this other repository.
    Mounted(String),
    /// It was sent.
    Sent,
}

/// How the content is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    AtOnce,
    InParts,
}

/// A blob on its way.
struct Source<'a> {
    blob: Wanted,
    file: &'a Path,
    /// Bytes that were handed to the network.
    sent: &'a Arc<AtomicU64>,
}

impl Session {
    /// Makes sure that the repository has a blob: by asking, by having the registry take it from
    /// one of the repositories `elsewhere`, or by sending `file`.
    pub(crate) async fn push_blob(
        &self,
        blob: Wanted,
        elsewhere: &[String],
        file: &Path,
        sent: &Arc<AtomicU64>,
    ) -> Result<Upload, Failure> {
        if self.has_blob(blob.digest).await? {
            return Ok(Upload::Known);
        }
        for other in elsewhere {
            match self.mount(blob.digest, other).await {
                Ok(true) => return Ok(Upload::Mounted(other.clone())),
                Ok(false) => {}
                Err(failure) => tracing::info!(other, ?failure, "a layer can't be mounted"),
            }
        }
        self.send_blob(&Source { blob, file, sent }).await?;
        Ok(Upload::Sent)
    }

    /// Sends a small blob, unless it is there.
    pub(crate) async fn push_small_blob(&self, content: Bytes) -> Result<(), Failure> {
        let digest = Digest::of(&content);
        if self.has_blob(digest).await? {
            return Ok(());
        }
        let (endpoint, location) = self.begin().await?;
        let mut request = Request::new(Method::PUT, with_digest(location, digest));
        request.headers.insert(CONTENT_TYPE, octets());
        request.content = Content::Bytes(content);
        self.send(endpoint, &request).await?;
        Ok(())
    }

    async fn has_blob(&self, digest: Digest) -> Result<bool, Failure> {
        let asked = self
            .ask(|endpoint| {
                let url = self.url(endpoint, &format!("blobs/{digest}"))?;
                Ok(Request::new(Method::HEAD, url))
            })
            .await;
        match asked {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_status(StatusCode::NOT_FOUND) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Has the registry take a blob from another repository of its own.
    async fn mount(&self, digest: Digest, from: &str) -> Result<bool, Failure> {
        let answer = self
            .ask(|endpoint| {
                let mut url = self.url(endpoint, "blobs/uploads/")?;
                url.query_pairs_mut()
                    .append_pair("mount", &digest.to_string())
                    .append_pair("from", from);
                let mut request = Request::new(Method::POST, url);
                request.also_read = Some(from.to_owned());
                Ok(request)
            })
            .await?;
        Ok(answer.status() == StatusCode::CREATED)
    }

    async fn begin(&self) -> Result<(&Endpoint, Url), Failure> {
        let (endpoint, answer) = self
            .ask_at(|endpoint| {
                Ok(Request::new(Method::POST, self.url(endpoint, "blobs/uploads/")?))
            })
            .await?;
        let location = location(&answer)?;
        Ok((endpoint, location))
    }

    /// Sends a blob. One that breaks off goes on from what the registry has of it.
    async fn send_blob(&self, source: &Source<'_>) -> Result<(), Failure> {
        let (mut endpoint, mut location) = self.begin().await?;
        let (mut manner, mut offset, mut attempt) = (Manner::AtOnce, 0, 1);
        loop {
            source.sent.store(offset, Ordering::Relaxed);
            let sending = async {
                match manner {
                    Manner::AtOnce => self.send_at_once(endpoint, &location, source).await,
                    Manner::InParts => {
                        self.send_parts(endpoint, &mut location, source, &mut offset).await
                    }
                }
            };
            let sent = tokio::select! {
                sent = sending => sent,
                stalled = self.stall(source) => Err(stalled),
            };
            let failure = match sent {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let too_large =
                manner == Manner::AtOnce && failure.is_status(StatusCode::PAYLOAD_TOO_LARGE);
            let wait = self.patience().after(attempt, failure.retry_after());
            let Some(wait) = wait.filter(|_| too_large || failure.is_passing()) else {
                return Err(failure);
            };
            tracing::info!(digest = %source.blob.digest, ?failure, "going on with an upload");
            tokio::time::sleep(wait).await;
            (manner, attempt) = (Manner::InParts, attempt + 1);
            match self.progress(endpoint, &location).await {
                Ok((there, next)) if there <= source.blob.size => {
                    (offset, location) = (there, next)
                }
                _ => {
                    ((endpoint, location), offset) = (self.begin().await?, 0);
                }
            }
        }
    }

    /// Comes to an end when an upload goes on no more. A registry that has all of a blob may take
    /// its time to look at it.
    async fn stall(&self, source: &Source<'_>) -> Failure {
        let mut before = None;
        let mut idle = 0;
        loop {
            let sent = source.sent.load(Ordering::Relaxed);
            idle = if before.replace(sent) == Some(sent) { idle + 1 } else { 0 };
            let most = if sent >= source.blob.size { MOST_IDLE_AT_END } else { 1 };
            if idle > most {
                let text = format!(
                    "send the blob {}: the registry does not go on: timed out",
                    source.blob.digest
                );
                return Failure::Broken { text, connected: true };
            }
            tokio::time::sleep(self.patience().stall).await;
        }
    }

    async fn send_at_once(
        &self,
        endpoint: &Endpoint,
        location: &Url,
        source: &Source<'_>,
    ) -> Result<(), Failure> {
        let url = with_digest(location.clone(), source.blob.digest);
        let request = source.request(Method::PUT, url, 0, source.blob.size);
        self.send_once(endpoint, &request).await?;
        Ok(())
    }

    async fn send_parts(
        &self,
        endpoint: &Endpoint,
        location: &mut Url,
        source: &Source<'_>,
        offset: &mut u64,
    ) -> Result<(), Failure> {
        while *offset < source.blob.size {
            let length = PART.min(source.blob.size - *offset);
            let mut request = source.request(Method::PATCH, location.clone(), *offset, length);
            let range = HeaderValue::from_str(&format!("{offset}-{}", *offset + length - 1));
            request.headers.extend(range.ok().map(|range| (CONTENT_RANGE, range)));
            let answer = self.send_once(endpoint, &request).await?;
            *location = self::location(&answer)?;
            *offset += length;
        }
        let url = with_digest(location.clone(), source.blob.digest);
        self.send(endpoint, &Request::new(Method::PUT, url)).await?;
        Ok(())
    }

    /// How much of an upload the registry has, and where it goes on.
    async fn progress(&self, endpoint: &Endpoint, location: &Url) -> Result<(u64, Url), Failure> {
        let answer = self.send(endpoint, &Request::new(Method::GET, location.clone())).await?;
        let range = answer.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
        // `0-0` is what registries say of nothing, too; one byte sent twice is no harm where the
        // registry counts.
        let there = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        Ok((there, self::location(&answer).unwrap_or_else(|_| location.clone())))
    }
}

impl Source<'_> {
    /// A request that carries a part of the file.
    fn request(&self, method: Method, url: Url, offset: u64, length: u64) -> Request {
        let mut request = Request::new(method, url);
        request.headers.insert(CONTENT_TYPE, octets());
        request.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let (file, sent) = (self.file.to_owned(), Arc::clone(self.sent));
        request.content = Content::Stream(Box::new(move || {
            sent.store(offset, Ordering::Relaxed);
            part(file.clone(), offset, length, Arc::clone(&sent))
        }));
        request
    }
}

/// A part of a file as a body.
fn part(path: std::path::PathBuf, offset: u64, length: u64, sent: Arc<AtomicU64>) -> Body {
    let begin = (None, length);
    Body::wrap_stream(stream::try_unfold(begin, move |(file, left)| {
        let (path, sent) = (path.clone(), Arc::clone(&sent));
        async move {
            if left == 0 {
                return Ok(None);
            }
            let mut file = match file {
                Some(file) => file,
                None => {
                    let mut file = File::open(&path).await?;
                    file.seek(SeekFrom::Start(offset)).await?;
                    file
                }
            };
            let mut piece = BytesMut::with_capacity(PIECE);
            file.read_buf(&mut piece).await?;
            if piece.is_empty() {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let count = piece.len() as u64;
            sent.fetch_add(count, Ordering::Relaxed);
            Ok(Some((piece.freeze(), (Some(file), left - count))))
        }
    }))
}

fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

fn with_digest(mut location: Url, digest: Digest) -> Url {
    location.query_pairs_mut().append_pair("digest", &digest.to_string());
    location
}

/// Where an upload goes on.
fn location(answer: &Response) -> Result<Url, Failure> {
    let request = failure::name("POST", answer.url());
    let value = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = value.and_then(|value| answer.url().join(value).ok());
    location.ok_or_else(|| {
        Failure::Ours(Error::system(format!(
            "{request}: the registry doesn't say where to send it"
        )))
    })
}
