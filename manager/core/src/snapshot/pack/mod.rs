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

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::Stat;

use crate::container::rootfs::Ids;
use crate::error::Result;
use crate::image::archive::{Entry, ModifiedAt, Writer, path};
use crate::snapshot::lowers::Seen;

/// Tells the names that an image has in a directory.
pub(crate) type NamesOfImage<'a> = dyn Fn(&[u8]) -> Result<BTreeSet<Vec<u8>>> + 'a;

/// What the tree is.
pub(crate) enum Tree<'a> {
    /// What is seen, with things mounted in it: given what is at a place, what is mounted there and
    /// whose ids are seen in it.
    Seen(&'a dyn Fn(&Stat) -> Option<(OwnedFd, Ids)>),
    /// What is seen of one file system.
    Merged,
    /// Overlay's upper directory: its marks become those of an image's layer.
    /// What is said of a directory or file there decides whether it is packed.
    Upper(&'a dyn Fn(&[u8], &Seen) -> Made),
    /// All that a container has, to be compared with its image: what the image has too is left out,
    /// and what it alone has gets a mark.
    Whole {
        /// Who made a directory or file.
        made: &'a dyn Fn(&[u8], &Seen) -> Made,
        /// The names that the image has in a directory.
        names: &'a NamesOfImage<'a>,
    },
}

/// Who made something of what a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// The container: it is packed.
    Container,
    /// Another, like its image or its start: it is left out.
    Other,
    /// Another, with something in it: it is packed if the container put something in it, too.
    OtherAround,
}

/// An archive that trees are packed into.
pub(crate) struct Packer<'a, W> {
    archive: Writer<W>,
    tree: Tree<'a>,
    /// The names of files that have several: by device and inode.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// Directories, each in the one before it, that are packed only if something in them is.
    around: Vec<Entry>,
    members: u64,
    /// Nothing has changed after this, in seconds since 1970.
    latest: Option<i64>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    /// An empty archive on `to`, which should have a buffer.
    pub(crate) fn new(to: W, tree: Tree<'a>) -> Self {
        Self {
            archive: Writer::new(to),
            tree,
            seen: HashMap::new(),
            around: Vec::new(),
            members: 0,
            latest: None,
            buffer: vec![0; file::BUFFER],
        }
    }

    /// What changed later is said to have changed then, in seconds since 1970.
    pub(crate) fn no_later_than(mut self, seconds: Option<i64>) -> Self {
        self.latest = seconds;
        self
    }

    /// How many members the archive has.
    pub(crate) fn members(&self) -> u64 {
        self.members
    }

    /// Adds a member; the data of a file is to follow.
    fn append(&mut self, entry: &Entry) -> Result<()> {
        self.leave(&entry.path);
        for around in std::mem::take(&mut self.around) {
            self.members += 1;
            self.archive.append(&around)?;
        }
        self.members += 1;
        match self.latest {
            Some(seconds) if entry.modified.seconds >= seconds => {
                let modified = ModifiedAt { seconds, nanoseconds: 0 };
                self.archive.append(&Entry { modified, ..entry.clone() })
            }
            _ => self.archive.append(entry),
        }
    }

    /// Forgets directories that `path` isn't in: nothing more comes in them.
    fn leave(&mut self, path: &[u8]) {
        let directory = |around: &Entry| around.path.strip_suffix(b"/").map(<[u8]>::to_vec);
        self.around.retain(|around| path::is_within(path, &directory(around).unwrap_or_default()));
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub(crate) fn finish(self) -> Result<W> {
        self.archive.finish()
    }
}
