//! What a start makes in a container's own layer: places for mounts that every container has. They
//! are nobody's changes. A place of a volume or of another mount of the user's is, as in docker.

use rustix::fs::{FileType, Stat};

use crate::snapshot::compare::made_upon;
use crate::snapshot::lookup::{Below, Lookup};
use crate::snapshot::lowers::{Lowers, Seen};
use crate::snapshot::pack::Made;

/// Empty files that are covered while the container runs, or that say that it is one.
const FILES: [&[u8]; 4] = [b".dockerenv", b"etc/hostname", b"etc/hosts", b"etc/resolv.conf"];
/// Directories that are covered, and the one in which files are.
const DIRECTORIES: [&[u8]; 4] = [b"dev", b"etc", b"proc", b"sys"];

/// Tells what a start made.
pub(in crate::container) struct MadeByStart<'a> {
    lowers: &'a Lowers,
}

impl<'a> MadeByStart<'a> {
    /// For a layer upon these.
    pub(in crate::container) fn new(lowers: &'a Lowers) -> Self {
        Self { lowers }
    }

    /// Who made what the container's layer has at `path`.
    pub(in crate::container) fn tell(&self, path: &[u8], stat: &Stat) -> Made {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_size == 0 && FILES.contains(&path) => Made::Other,
            FileType::Directory if DIRECTORIES.contains(&path) && self.is_as_it_was(path, stat) => {
                Made::OtherAround
            }
            _ => Made::Container,
        }
    }

    /// Who made what a container that has all of its image has at `path`.
    pub(in crate::container) fn or_image(&self, path: &[u8], new: &Seen) -> Made {
        match self.tell(path, &new.stat) {
            Made::Container => made_upon(self.lowers, path, new),
            made => made,
        }
    }

    /// Whether a directory has the owner and mode of the image's, or of a new one of root's.
    fn is_as_it_was(&self, path: &[u8], stat: &Stat) -> bool {
        let facts = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
        match self.lowers.find(path) {
            Ok(Below::Directory(below)) => (below.mode, below.uid, below.gid) == facts,
            Ok(Below::Nothing) => facts == (0o755, 0, 0),
            Ok(Below::Symlink(_) | Below::File(..)) | Err(_) => false,
        }
    }
}
