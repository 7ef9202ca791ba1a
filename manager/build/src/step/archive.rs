//! ADD's archives: what is one, and what becomes of it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::FileType;
use tare_core::snapshot::{Snapshots, is_archive};
use tokio::sync::watch;

use super::find::{Found, reading};
use super::owner::Owner;
use super::way::{Made, ensure};
use super::{Place, failed};
use crate::error::Result;

/// Who unpacks archives.
pub trait Unpacker {
    /// Puts what `archive` has over the files in the directory `to`. All belongs to `owner`, or to whom
    /// the archive says.
    ///
    /// # Errors
    /// What is wrong with the archive, or with the disk.
    fn unpack_over(
        &self,
        archive: &mut (dyn Read + Send),
        to: &OwnedFd,
        owner: Option<(u32, u32)>,
    ) -> tare_core::Result<()>;
}

impl Unpacker for Snapshots {
    fn unpack_over(
        &self,
        archive: &mut (dyn Read + Send),
        to: &OwnedFd,
        owner: Option<(u32, u32)>,
    ) -> tare_core::Result<()> {
        Snapshots::unpack_over(self, archive, to, owner).map(drop)
    }
}

/// What was found, opened, if it is an archive.
pub(super) fn open(found: &Found) -> Result<Option<File>> {
    if found.kind() != FileType::RegularFile {
        return Ok(None);
    }
    let wrong = |error| failed("read", &found.path, error);
    let mut file = reading(found.handle.as_fd()).map_err(wrong)?;
    let is_archive = is_archive(&mut file, &found.path);
    file.rewind().map_err(wrong)?;
    Ok(is_archive.then_some(file))
}

/// Unpacks an archive over what is at `destination`, which is a directory then. What it has belongs
/// to whom the archive says, unless somebody else was `asked` for.
pub(super) fn unpack(
    archive: File,
    asked: Owner,
    directories: &Made,
    destination: &str,
    place: &Place<'_>,
) -> Result<()> {
    let over = ensure(place.root, destination, directories)?;
    let mut archive = Watched { archive, given_up: place.given_up };
    Ok(place.unpacker.unpack_over(&mut archive, &over, asked.asked())?)
}

/// An archive that ends when nobody wants it any more.
struct Watched<'a> {
    archive: File,
    given_up: &'a watch::Receiver<bool>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.given_up.borrow() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.archive.read(buffer)
    }
}
