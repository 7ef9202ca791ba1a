//! Files of a client's: directories that it lets builds have, as far as they are wanted.

pub(super) mod entry;
mod order;
mod receiver;
pub(super) mod target;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod work;

use std::time::{Duration, Instant};

use prost::Message;
use sha2::{Digest, Sha256};
use tare_proto::builds::moby::filesync::v1::file_sync_client::FileSyncClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Request;

use self::receiver::Receiver;
use super::connection::{LARGEST, origin};
use super::contexts::{ContextStore, Key};
use super::failure::{failed, lost};
use super::{Session, metadata};
use crate::error::{Error, Result};
use crate::progress::Vertex;
use crate::tree::Tree;

const METHOD: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// Packets that may wait to be looked at.
const WAITING: usize = 64;
/// From one time that it is told how far a transfer is to the next.
const PACE: Duration = Duration::from_millis(100);

/// Which files of which directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What the client calls the directory, such as `context`.
    pub name: String,
    /// Patterns of those that are wanted; none: all.
    pub include: Vec<String>,
    /// Patterns of those that are not wanted, as a `.dockerignore` has them.
    pub exclude: Vec<String>,
    /// Paths that are wanted, with all that they link to; none: all.
    pub follow: Vec<String>,
}

/// Receives files of the client. What is there from an earlier time is not sent again.
///
/// # Errors
/// If the client doesn't have them, fails, goes, or sends what is no file tree.
pub async fn receive(
    session: &Session,
    wanted: &Wanted,
    store: &ContextStore,
    vertex: &Vertex,
) -> Result<Tree> {
    if !session.offers(METHOD) {
        return Err(Error::invalid("no local sources enabled"));
    }
    let key = key(session, wanted);
    let _alone = store.alone(&key, session.id()).await;
    let (requests, outgoing) = mpsc::unbounded_channel();
    let mut request = Request::new(UnboundedReceiverStream::new(outgoing));
    let Wanted { name, include, exclude, follow } = wanted;
    metadata::add(&mut request, "dir-name", std::slice::from_ref(name))?;
    metadata::add(&mut request, "include-patterns", include)?;
    metadata::add(&mut request, "exclude-patterns", exclude)?;
    metadata::add(&mut request, "followpaths", follow)?;

    let failed = |status| failed(session, &status);
    let mut transfer = vertex.transfer(&format!("transferring {name}:"));
    let mut client =
        FileSyncClient::with_origin(session.link(), origin()).max_decoding_message_size(LARGEST);
    let mut incoming = client.diff_copy(request).await.map_err(failed)?.into_inner();
    let (packets, arriving) = mpsc::channel(WAITING);
    let work = {
        let (store, name) = (store.clone(), name.clone());
        tokio::task::spawn_blocking(move || {
            Receiver::new(&store, &key, &name, requests).run(arriving)
        })
    };
    let (mut bytes, mut told) = (0, Instant::now());
    let ended = loop {
        match incoming.message().await {
            Ok(Some(packet)) => {
                bytes += i64::try_from(packet.encoded_len()).unwrap_or(0);
                if told.elapsed() >= PACE {
                    transfer.set(bytes, 0);
                    told = Instant::now();
                }
                if packets.send(packet).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(failed(status)),
        }
    };
    drop(packets);
    let received = work.await.map_err(|_| lost(session))?;
    transfer.set(bytes, 0);
    // A call that fails is why the packets ended, but not if they were all there.
    let received = match (received, ended) {
        (Err(_), Err(error)) => return Err(error),
        (received, _) => received?,
    };
    store.tree(received.version, received.index)
}

/// What the client's choice is kept under.
fn key(session: &Session, wanted: &Wanted) -> Key {
    let digest = |texts: &mut dyn Iterator<Item = &str>| {
        let mut digest = Sha256::new();
        for text in texts {
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    // A client that says nothing of its directories has none in common with another one.
    let whose = match session.shared_key() {
        "" => ["session", session.id()],
        shared => ["key", shared],
    };
    let Wanted { name, include, exclude, follow } = wanted;
    let choice = [("+", include), ("-", exclude), ("*", follow)];
    let choice = choice.into_iter().flat_map(|(kind, patterns)| {
        patterns.iter().flat_map(move |pattern| [kind, pattern.as_str()])
    });
    Key {
        source: digest(&mut whose.into_iter().chain([name.as_str()])),
        choice: digest(&mut choice.into_iter()),
    }
}
