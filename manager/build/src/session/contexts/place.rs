//! A directory of one context: its files, and beside them the index.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::index;
use crate::error::{Error, Result};
use crate::session::files::target::remove_all;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
/// What the files are below.
const TREE: &str = "tree";

/// A directory of one context. Dropped, it is removed, unless it is kept.
pub(in crate::session) struct Place {
    id: String,
    all: Arc<OwnedFd>,
    own: OwnedFd,
    root: OwnedFd,
    is_kept: AtomicBool,
}

impl Place {
    /// A new one called `id`, among `all`.
    pub(super) fn make(all: &Arc<OwnedFd>, id: String) -> Result<Self> {
        let failed = |error: rustix::io::Errno| {
            Error::io(format_args!("make a directory for context {id}"), error.into())
        };
        rustix::fs::mkdirat(all, id.as_str(), Mode::RWXU).map_err(failed)?;
        let own = rustix::fs::openat(all, id.as_str(), DIRECTORY, Mode::empty());
        let own = own.map_err(failed)?;
        rustix::fs::mkdirat(&own, TREE, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let root = rustix::fs::openat(&own, TREE, DIRECTORY, Mode::empty()).map_err(failed)?;
        // Whatever the mask of the process is.
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755)).map_err(failed)?;
        Ok(Self { id, all: Arc::clone(all), own, root, is_kept: AtomicBool::new(false) })
    }

    /// The one called `id` that is there already, and is kept.
    pub(super) fn open(all: &Arc<OwnedFd>, id: String) -> Option<Self> {
        let own = rustix::fs::openat(all, id.as_str(), DIRECTORY, Mode::empty()).ok()?;
        let root = rustix::fs::openat(&own, TREE, DIRECTORY, Mode::empty()).ok()?;
        Some(Self { id, all: Arc::clone(all), own, root, is_kept: AtomicBool::new(true) })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn own(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }

    /// The root of its files.
    pub(in crate::session) fn root(&self) -> Result<OwnedFd> {
        self.root.try_clone().map_err(|error| Error::io("open a context", error))
    }

    /// It is removed when it is dropped, or isn't.
    pub(super) fn keep(&self, is_kept: bool) {
        self.is_kept.store(is_kept, Ordering::Relaxed);
    }

    /// Its files will be changed: the index doesn't hold any more, even if this process dies.
    pub(in crate::session) fn invalidate(&self) -> Result<()> {
        match rustix::fs::unlinkat(&self.own, index::NAME, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::io("remove the index of a context", error.into())),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let (all, id) = (Arc::clone(&self.all), std::mem::take(&mut self.id));
        let remove = move || {
            if let Err(error) = remove_all(all.as_fd(), id.as_bytes()) {
                tracing::warn!("remove context {id}: {error}");
            }
        };
        // It may take long, and nobody waits for it; what is left is swept at the next start.
        let thread = std::thread::Builder::new().name("contexts".to_owned()).spawn(remove);
        if let Err(error) = thread {
            tracing::warn!("remove a context: no thread for it: {error}");
        }
    }
}
