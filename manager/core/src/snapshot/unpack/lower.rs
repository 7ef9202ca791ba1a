//! The layers below: only looked at.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::metadata::{OPAQUE, failed};
use crate::error::Result;
use crate::image::archive::path;

/// The unpacked layers below the one that is unpacked, uppermost first.
pub(crate) struct Lowers(Vec<OwnedFd>);

/// What the lower layers together have at a path.
pub(crate) enum Below {
    /// A directory, open for reading.
    Directory(OwnedFd),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A regular file, open for reading.
    File(OwnedFd),
    /// Nothing, nothing that is seen, or nothing of use here.
    Nothing,
}

/// Lower layers were unpacked by us and have real directories only on the way to each path: one
/// that leads through a link isn't what the walk above asks for.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl Lowers {
    /// These layers.
    pub(crate) fn new(layers: Vec<OwnedFd>) -> Self {
        Self(layers)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each layer's root.
    pub(super) fn iter(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd)
    }

    /// The root that is seen.
    pub(super) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.iter().next()
    }

    /// What they have at the plain path `path`.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Below> {
        for layer in self.iter() {
            let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat2(layer, path, handle, Mode::empty(), RESOLVE) {
                Ok(found) => return identify(layer, path, found),
                Err(Errno::NOENT) if !hides(layer, path)? => {}
                // Something that is no directory stands on the way, or hides what is below it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Below::Nothing),
                Err(errno) => return Err(failed("look at the layers below", errno)),
            }
        }
        Ok(Below::Nothing)
    }
}

fn identify(layer: BorrowedFd<'_>, path: &[u8], found: OwnedFd) -> Result<Below> {
    let stat = rustix::fs::fstat(&found).map_err(|errno| failed("look below", errno))?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Below::Directory(open(layer, path)?),
        FileType::RegularFile => Below::File(open(layer, path)?),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&found, "", Vec::new());
            let target = target.map_err(|errno| failed("read a link below", errno))?;
            Below::Symlink(target.into_bytes())
        }
        _ => Below::Nothing,
    })
}

fn open(layer: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    rustix::fs::openat2(layer, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
        .map_err(|errno| failed("open what lies below", errno))
}

/// Whether `layer`, which has nothing at `path`, has an opaque directory on the way to it.
fn hides(layer: BorrowedFd<'_>, path: &[u8]) -> Result<bool> {
    let mut above = path::parent(path);
    while !above.is_empty() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat2(layer, above, flags, Mode::empty(), RESOLVE) {
            Ok(directory) => {
                let mut value = [0_u8; 1];
                if rustix::fs::fgetxattr(&directory, OPAQUE, &mut value).is_ok() && value == *b"y" {
                    return Ok(true);
                }
            }
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(true),
            Err(errno) => return Err(failed("look at the layers below", errno)),
        }
        above = path::parent(above);
    }
    Ok(false)
}
