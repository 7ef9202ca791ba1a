//! The comparison: a walk through the container's own layer, with a look at the image for each
//! thing that is met.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{Change, ChangeKind, MadeByStart};
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::Written;
use crate::snapshot::compare::differ;
use crate::snapshot::lowers::{Lowers, Seen};
use crate::snapshot::marks::Marks;
use crate::snapshot::pack::Made;

const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A comparison under way.
struct Comparison<'a> {
    own: &'a Written,
    old: &'a Lowers,
    made: MadeByStart<'a>,
    changes: Vec<(Vec<u8>, ChangeKind)>,
}

/// What `own` changes in `old`, by path.
pub(super) fn changes(own: &Written, old: &Lowers) -> Result<Vec<Change>> {
    let made = MadeByStart::new(old);
    let mut comparison = Comparison { own, old, made, changes: Vec::new() };
    let mut ahead = vec![Vec::new()];
    while let Some(directory) = ahead.pop() {
        comparison.directory(&directory, &mut ahead)?;
    }
    Ok(comparison.finish())
}

impl Comparison<'_> {
    /// Compares what is in a directory that the container's layer has.
    fn directory(&mut self, path: &[u8], ahead: &mut Vec<Vec<u8>>) -> Result<()> {
        let Some(directory) = open(self.own.root(), path, DIRECTORY)? else { return Ok(()) };
        let is_all = match self.own {
            Written::Changes(_) => Marks::Overlay.is_opaque(directory.as_fd())?,
            Written::Whole(_) => true,
        };
        if is_all {
            self.hidden(path, &directory)?;
        }
        for name in names(directory)? {
            let path = path::join(path, &name);
            let Some(handle) = open(self.own.root(), &path, HANDLE)? else { continue };
            let stat = rustix::fs::fstat(&handle).map_err(failed)?;
            let is_directory = is_directory(&stat);
            self.compare(&path, &Seen { handle, stat })?;
            if is_directory {
                ahead.push(path);
            }
        }
        Ok(())
    }

    fn compare(&mut self, path: &[u8], new: &Seen) -> Result<()> {
        let old = self.old.look(path)?;
        let kind = match (&old, self.made.tell(path, &new.stat)) {
            (Some(_), _) if self.own.is_whiteout(&new.stat) => ChangeKind::Deleted,
            (None, _) if self.own.is_whiteout(&new.stat) => return Ok(()),
            (_, Made::Other | Made::OtherAround) => return Ok(()),
            (None, Made::Container) => ChangeKind::Added,
            (Some(old), Made::Container) if differ(old, new) => ChangeKind::Modified,
            (Some(_), Made::Container) => return Ok(()),
        };
        self.changes.push((path.to_vec(), kind));
        Ok(())
    }

    /// What the image has in a directory whose content is the container's alone, and the container
    /// doesn't.
    fn hidden(&mut self, path: &[u8], directory: &OwnedFd) -> Result<()> {
        for name in self.old.names(path)? {
            match rustix::fs::statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {
                    self.changes.push((path::join(path, &name), ChangeKind::Deleted));
                }
                Ok(_) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// All changes in order; a directory in which something changed has changed, too.
    fn finish(mut self) -> Vec<Change> {
        let mut above: Vec<(Vec<u8>, ChangeKind)> = Vec::new();
        for (changed, _) in &self.changes {
            let mut path = path::parent(changed);
            while !path.is_empty() {
                above.push((path.to_vec(), ChangeKind::Modified));
                path = path::parent(path);
            }
        }
        self.changes.extend(above);
        // What is said of a path itself counts more than what is said by what is in it.
        self.changes.sort_by(|(one, kind), (other, other_kind)| {
            one.cmp(other).then_with(|| other_kind.cmp(kind))
        });
        self.changes.dedup_by(|(one, _), (other, _)| one == other);
        let change = |(path, kind): (Vec<u8>, ChangeKind)| Change {
            path: format!("/{}", String::from_utf8_lossy(&path)),
            kind,
        };
        self.changes.into_iter().map(change).collect()
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// What is at `path` below `root`; none if nothing is, or no longer, or nothing that can be named.
fn open(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<Option<OwnedFd>> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    match rustix::fs::openat2(root, path, flags, Mode::empty(), BELOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(failed(errno)),
    }
}

fn names(directory: OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::new(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn failed(errno: Errno) -> Error {
    Error::io("compare a container with its image", errno.into())
}
