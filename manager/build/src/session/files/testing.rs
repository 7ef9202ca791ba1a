//! File trees for tests, as senders tell of them.

use bytes::Bytes;
use tare_proto::builds::fsutil::types::{Packet, Stat};
use tokio::sync::mpsc;

use super::entry::{FileKind, go_mode};
use super::receiver::Receiver;
use crate::session::contexts::{ContextStore, Key};

/// When all of them were changed last, unless it is said.
pub(in crate::session) const TIME: i64 = 1_500_000_000_123_456_789;

/// A receiver of no client's.
pub(in crate::session) fn receiver(
    store: &ContextStore,
    requests: mpsc::UnboundedSender<Packet>,
) -> Receiver {
    Receiver::new(store, &key(), "test", requests)
}

/// What a [`receiver`] keeps its tree under.
pub(in crate::session) fn key() -> Key {
    Key { source: "source".to_owned(), choice: "choice".to_owned() }
}

pub(in crate::session) fn stat(path: &str, kind: FileKind, permissions: u32) -> Stat {
    let (path, mode) = (path.as_bytes().to_vec(), go_mode(kind, permissions));
    Stat { path, mode, mod_time: TIME, ..Stat::default() }
}

pub(in crate::session) fn directory(path: &str) -> (Stat, Bytes) {
    (stat(path, FileKind::Directory, 0o755), Bytes::new())
}

pub(in crate::session) fn file(path: &str, content: &str) -> (Stat, Bytes) {
    let size = content.len() as i64;
    let stat = Stat { size, ..stat(path, FileKind::Regular, 0o644) };
    (stat, Bytes::copy_from_slice(content.as_bytes()))
}

/// A symbolic link, or another name of a file.
pub(in crate::session) fn link(path: &str, kind: FileKind, to: &str) -> (Stat, Bytes) {
    let linkname = to.as_bytes().to_vec();
    (Stat { linkname, ..stat(path, kind, 0o777) }, Bytes::new())
}
