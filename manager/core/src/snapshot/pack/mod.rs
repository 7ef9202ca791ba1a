//! Packing a directory tree into an archive, by descriptor only, while others may change the tree.
//!
//! What is met is looked at through a handle that opens nothing, and only a regular file or a
//! directory is opened then, through that very handle: a name that has come to mean a device, a
//! pipe or a link meanwhile does no harm. What has vanished is left out.

mod file;
mod marks;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::Stat;

use crate::error::Result;
use crate::image::archive::{Entry, Writer, path};

/// What the tree is.
pub(crate) enum Tree<'a> {
    /// What is seen, with things mounted in it: given what is at a place, what is mounted there.
    Seen(&'a dyn Fn(&Stat) -> Option<OwnedFd>),
    /// What is seen of one file system.
    Merged,
    /// Overlay's upper directory: its marks become those of an image's layer.
    /// What is said of a directory or file there decides whether it is packed.
    Upper(&'a dyn Fn(&[u8], &Stat) -> Made),
}

/// Who made something of an upper directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// The container: it is packed.
    Container,
    /// The start of the container: it is left out.
    Start,
    /// The start of the container, which put something in it: it is packed if the container did, too.
    StartAround,
}

/// An archive that trees are packed into.
pub(crate) struct Packer<'a, W> {
    archive: Writer<W>,
    tree: Tree<'a>,
    /// The names of files that have several: by device and inode.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// A directory that is packed only if something in it is.
    around: Option<Entry>,
    members: u64,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    /// An empty archive on `to`, which should have a buffer.
    pub(crate) fn new(to: W, tree: Tree<'a>) -> Self {
        Self {
            archive: Writer::new(to),
            tree,
            seen: HashMap::new(),
            around: None,
            members: 0,
            buffer: vec![0; file::BUFFER],
        }
    }

    /// How many members the archive has.
    pub(crate) fn members(&self) -> u64 {
        self.members
    }

    /// Adds a member; the data of a file is to follow.
    fn append(&mut self, entry: &Entry) -> Result<()> {
        if let Some(around) = self.around.take()
            && path::is_within(&entry.path, around.path.strip_suffix(b"/").unwrap_or_default())
        {
            self.members += 1;
            self.archive.append(&around)?;
        }
        self.members += 1;
        self.archive.append(entry)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub(crate) fn finish(self) -> Result<W> {
        self.archive.finish()
    }
}
