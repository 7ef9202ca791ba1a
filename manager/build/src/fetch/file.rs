//! A file at an address.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256, Sha384, Sha512};
use tare_core::registry::{WebAsked, WebFile};

use super::kept::{About, Kept};
use super::{Fetched, Way, address};
use crate::error::{Error, Result};
use crate::progress::Vertex;
use crate::session::secrets;
use crate::session::upload::Upload;

/// The host that stands for what a client passes on.
const CLIENT: &str = "http://buildkit-session/";
/// The server says that the file is the same.
const SAME: u16 = 304;

/// A file that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its address.
    pub url: &'a str,
    /// What it shall be called.
    pub name: &'a str,
    /// The digest that it has to have.
    pub checksum: Option<&'a str>,
}

/// Fetches a file into a directory of its own.
///
/// # Errors
/// The server doesn't give it; it isn't what it has to be.
pub async fn file(way: &Way<'_>, wanted: Wanted<'_>, vertex: &Vertex) -> Result<Fetched> {
    let kept = Kept::new(way.engine, wanted.url);
    let known = kept.known();
    if let Some(known) = known.as_ref().filter(|known| wanted.checksum == Some(&known.digest)) {
        return kept.give(known, wanted);
    }
    let mut source = match wanted.url.strip_prefix(CLIENT) {
        Some(path) => Source::Client(uploaded(way, path).await?),
        None => {
            let tag = known.as_ref().and_then(|known| known.tag.clone());
            let asked = WebAsked { unless_tagged: tag, authorization: shown_to(way, wanted).await };
            let file = way.engine.images.registries().look_up(wanted.url, &asked).await?;
            match (file.status(), &known) {
                (SAME, Some(known)) => {
                    check(wanted, &known.digest, &known.digest)?;
                    return kept.give(known, wanted);
                }
                (200..300, _) => Source::Web(file),
                (status, _) => {
                    return Err(Error::system(format!("invalid response status {status}")));
                }
            }
        }
    };
    let mut arriving = kept.begin()?;
    let mut sums = Sums::new(wanted.checksum);
    let mut transfer = vertex.transfer(&format!("downloading {}", wanted.name));
    let (mut count, length) = (0_i64, source.length());
    while let Some(piece) = source.next().await? {
        sums.add(&piece);
        arriving.file.write_all(&piece).map_err(|error| Error::io("keep a download", error))?;
        count += i64::try_from(piece.len()).unwrap_or_default();
        transfer.set(count, length);
    }
    drop(transfer);
    let (digest, checked) = sums.end();
    check(wanted, &digest, &checked)?;
    let about = About { tag: source.tag(), modified: source.modified(), digest };
    kept.take(arriving, about, wanted)
}

fn check(wanted: Wanted<'_>, digest: &str, checked: &str) -> Result<()> {
    match wanted.checksum {
        Some(expected) if expected != checked && expected != digest => {
            Err(Error::invalid(format!("digest mismatch {checked}: {expected}")))
        }
        _ => Ok(()),
    }
}

async fn uploaded(way: &Way<'_>, path: &str) -> Result<Upload> {
    let session = way.session.ok_or_else(|| {
        Error::invalid("no active sessions: the context has to come from a client")
    })?;
    Upload::open(session, "buildkit-session", &format!("/{path}")).await
}

/// What the client has to be shown to this server.
async fn shown_to(way: &Way<'_>, wanted: Wanted<'_>) -> Option<String> {
    let session = way.session?;
    let host = address::host(wanted.url);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    for (name, before) in [("HTTP_AUTH_HEADER_", ""), ("HTTP_AUTH_TOKEN_", "Bearer ")] {
        if let Ok(Some(secret)) = secrets::secret(session, &format!("{name}{host}")).await {
            return Some(format!("{before}{}", String::from_utf8_lossy(&secret)));
        }
    }
    None
}

/// Where a file comes from.
enum Source {
    Web(WebFile),
    Client(Upload),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Web(file) => Ok(file.next().await?),
            Self::Client(upload) => upload.next().await,
        }
    }

    fn length(&self) -> i64 {
        match self {
            Self::Web(file) => file.length().and_then(|length| i64::try_from(length).ok()),
            Self::Client(_) => None,
        }
        .unwrap_or_default()
    }

    /// Its tag: of two that only differ in being weak, one is as good as the other.
    fn tag(&self) -> Option<String> {
        match self {
            Self::Web(file) => file.header("etag").map(str::to_owned),
            Self::Client(_) => None,
        }
    }

    /// When it was last changed: else it is as old as can be, so that it is always the same.
    fn modified(&self) -> i64 {
        let text = match self {
            Self::Web(file) => file.header("last-modified"),
            Self::Client(_) => None,
        };
        let parsed = text.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        parsed.map_or(0, |time| time.timestamp().as_second())
    }
}

/// What is known of a file as it comes.
struct Sums {
    digest: Sha256,
    other: Option<Other>,
}

enum Other {
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Sums {
    fn new(checksum: Option<&str>) -> Self {
        let other = match checksum.and_then(|checksum| checksum.split_once(':')) {
            Some(("sha384", _)) => Some(Other::Sha384(Sha384::new())),
            Some(("sha512", _)) => Some(Other::Sha512(Sha512::new())),
            _ => None,
        };
        Self { digest: Sha256::new(), other }
    }

    fn add(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        match &mut self.other {
            Some(Other::Sha384(sum)) => sum.update(piece),
            Some(Other::Sha512(sum)) => sum.update(piece),
            None => {}
        }
    }

    /// Its digest, and the one that is asked for.
    fn end(self) -> (String, String) {
        let digest = format!("sha256:{}", hex::encode(self.digest.finalize()));
        let asked = match self.other {
            Some(Other::Sha384(sum)) => format!("sha384:{}", hex::encode(sum.finalize())),
            Some(Other::Sha512(sum)) => format!("sha512:{}", hex::encode(sum.finalize())),
            None => digest.clone(),
        };
        (digest, asked)
    }
}

/// A moment, so many seconds after 1970 began.
pub(super) fn moment(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_to_be_what_was_asked_for() {
        let sums = |checksum| {
            let mut sums = Sums::new(checksum);
            sums.add(b"ab");
            sums.add(b"c");
            sums.end()
        };
        let (digest, same) = sums(None);
        assert!(digest == same && digest.starts_with("sha256:ba7816bf"));
        let (digest, other) = sums(Some("sha512:00"));
        assert!(other.starts_with("sha512:ddaf35a1") && digest.starts_with("sha256:ba7816bf"));
        let wanted = |checksum| Wanted { url: "", name: "", checksum };
        check(wanted(Some(&digest)), &digest, &digest).unwrap();
        check(wanted(Some(&other)), &digest, &other).unwrap();
        let wrong = check(wanted(Some("sha256:00")), &digest, &digest).unwrap_err();
        assert_eq!(wrong.message, format!("digest mismatch {digest}: sha256:00"));
    }
}
