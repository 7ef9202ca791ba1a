//! A file tree to read from: a context, what a stage has made, an image.

use std::any::Any;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A file tree. All paths in it are looked up below its root by descriptor, and none leads out of it.
/// A copy is the same tree, which is there as long as one copy is.
#[derive(Clone)]
pub struct Tree {
    root: Arc<OwnedFd>,
    contents: Option<Arc<dyn Contents>>,
    _keep: Arc<dyn Any + Send + Sync>,
}

/// What is known of files' contents without reading them.
pub trait Contents: Send + Sync {
    /// The SHA-256 of what the regular file at `path` holds, if it is known. The path is relative, and
    /// no symbolic link is in it.
    fn of(&self, path: &[u8]) -> Option<[u8; 32]>;
}

impl Tree {
    /// The tree below `root`, which stays as long as `keep` is kept.
    pub fn new(root: OwnedFd, keep: impl Any + Send + Sync) -> Self {
        Self { root: Arc::new(root), contents: None, _keep: Arc::new(keep) }
    }

    /// The same tree, of whose files `contents` knows something.
    #[must_use]
    pub fn with_contents(self, contents: Arc<dyn Contents>) -> Self {
        Self { contents: Some(contents), ..self }
    }

    /// The SHA-256 of what the regular file at `path` holds, if it is known without reading it. The
    /// path is relative to the root, and no symbolic link is in it.
    #[must_use]
    pub fn content(&self, path: &[u8]) -> Option<[u8; 32]> {
        self.contents.as_ref()?.of(path)
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("root", &self.root).finish_non_exhaustive()
    }
}
