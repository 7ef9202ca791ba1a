//! Unpacking a layer's archive into an image.
//!
//! Nothing of a layer is trusted, and nothing of it touches a file system: its tree stands in memory
//! while it comes, and no name in it means anything to the kernel. What it leaves out is looked up
//! in the layers below, and never changed there.

mod apply;
mod step;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use tare_erofs::{Attributes, Data, NodeId, Time, Tree};

use crate::error::{Error, Result};
use crate::image::archive::{Archive, Entry};
use crate::snapshot::Limits;
use crate::snapshot::lookup::{Below, Likeness, Lookup};
use crate::snapshot::way;

use super::IMAGE;

/// Bytes that are held in memory of a layer's tree, by a generous count: some million files.
const MOST_REMEMBERED: usize = 1 << 30;

/// What a file takes in memory besides its name and attributes, at most.
const OF_EACH: usize = 256;

/// A layer on its way.
struct Layer<'a> {
    tree: Tree,
    data: Data,
    lowers: &'a dyn Lookup,
    /// Directories below which nothing of the lower layers is seen.
    opaque: HashSet<NodeId>,
    /// Files that are here only because others here are links to them, by their places.
    copied: HashMap<(NodeId, Vec<u8>), NodeId>,
    /// Whether the archive said what the root is like.
    root_is_said: bool,
    /// When directories were made of which nothing is said.
    now: Time,
    /// Bytes in memory, roughly.
    remembered: usize,
    /// Bytes of files of lower layers that may be copied yet.
    room: u64,
}

/// A name in a directory of the layer.
type Place = way::Place<NodeId>;

/// Unpacks `archive` into a new image in the directory `root`, over the layers `lowers`. Returns the
/// bytes of the files in it. Nothing is synced to disk.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an archive that is no layer, [`crate::Kind::Exhausted`] for a full
/// disk; the image is then half written.
pub(in super::super) fn unpack(
    archive: &mut dyn BufRead,
    root: &OwnedFd,
    lowers: &dyn Lookup,
    limits: &Limits,
) -> Result<u64> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, IMAGE, flags, Mode::RUSR)
        .map_err(|errno| Error::io("create the layer's file", errno.into()))?;
    let mut archive = Archive::new(archive);
    let mut layer = Layer::new(File::from(file), lowers, limits)?;
    let (mut size, mut count) = (0_u64, 0);
    while let Some(entry) = archive.next()? {
        count += 1;
        limits.check_member(count, &entry.path)?;
        layer.remember(&entry)?;
        let shown = String::from_utf8_lossy(&entry.path).into_owned();
        let bytes = layer
            .apply(entry, &mut archive)
            .map_err(|error| error.while_doing(format_args!("unpack {shown:?}")))?;
        size = size.saturating_add(bytes);
    }
    archive.drain()?;
    // What was copied from the layers below counts as if the archive had it.
    size = size.saturating_add(limits.bytes.saturating_sub(layer.room));
    layer.finish()?;
    Ok(size)
}

impl<'a> Layer<'a> {
    fn new(file: File, lowers: &'a dyn Lookup, limits: &Limits) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Time {
            seconds: since.as_secs().try_into().unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        };
        Ok(Self {
            tree: Tree::new(unsaid(now)).map_err(failed)?,
            data: Data::new(file),
            lowers,
            opaque: HashSet::new(),
            copied: HashMap::new(),
            root_is_said: false,
            now,
            remembered: 0,
            room: limits.bytes,
        })
    }

    fn remember(&mut self, entry: &Entry) -> Result<()> {
        let attributes = entry.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.count(entry.path.len() + attributes.sum::<usize>() + OF_EACH)
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.remembered += bytes;
        if self.remembered > MOST_REMEMBERED {
            return Err(Error::invalid("the layer has too many files"));
        }
        Ok(())
    }

    /// What a directory is like of which nothing is said: open to all, made now.
    fn unsaid(&self) -> Attributes {
        unsaid(self.now)
    }

    /// All members have come.
    fn finish(mut self) -> Result<()> {
        if self.opaque.contains(&Tree::ROOT) {
            self.hide_below_root()?;
        }
        if !self.root_is_said
            && !self.lowers.is_empty()
            && let Below::Directory(root) = self.lowers.find(b"")?
        {
            let seen = Attributes { extended: Default::default(), ..like(root) };
            self.tree.set_attributes(Tree::ROOT, seen).map_err(failed)?;
        }
        tare_erofs::finish(&self.tree, self.data).map_err(failed)?;
        Ok(())
    }
}

fn unsaid(modified: Time) -> Attributes {
    Attributes { mode: 0o755, modified, ..Attributes::default() }
}

/// What makes something like one of the layers below.
fn like(other: Likeness) -> Attributes {
    let modified = other.modified();
    Attributes {
        mode: (other.mode & 0o7777) as u16,
        uid: other.uid,
        gid: other.gid,
        modified: Time {
            seconds: modified.tv_sec,
            nanoseconds: u32::try_from(modified.tv_nsec).unwrap_or(0),
        },
        extended: other.attributes.into_iter().collect(),
    }
}

/// What can't be in an image is the archive's fault, the rest the disk's.
fn failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::FileTooLarge => Error::invalid(error.to_string()),
        _ => Error::io("write the layer", error),
    }
}
