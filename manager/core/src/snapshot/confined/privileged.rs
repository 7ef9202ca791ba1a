//! What unpacking does that takes rights over the whole machine. `tared` does it itself; the process
//! that unpacks asks `tared`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{FileType, Mode, XattrFlags};

use super::line::{self, Line};
use super::words::{Answer, Said};
use crate::error::{Error, Result};
use crate::snapshot::marks::OPAQUE;

/// Whom to ask, in the process that unpacks.
static MANAGER: OnceLock<Mutex<Line>> = OnceLock::new();

/// From now on the other end of `line` is asked.
pub(super) fn ask_over(line: Line) {
    // A process unpacks once.
    let _ = MANAGER.set(Mutex::new(line));
}

/// Whether this is a process that unpacks and does nothing else.
pub(crate) fn is_confined() -> bool {
    MANAGER.get().is_some()
}

/// Asks the manager; `None`: this is the manager.
pub(super) fn ask(
    said: &Said,
    with: Option<BorrowedFd<'_>>,
) -> Result<Option<(Answer, Option<OwnedFd>)>> {
    let Some(line) = MANAGER.get() else { return Ok(None) };
    let line = line.lock().unwrap_or_else(PoisonError::into_inner);
    if !line.say(said, with)? {
        return Err(line::left());
    }
    match line.hear()?.ok_or_else(line::left)? {
        (Answer::Failed(failure), _) => Err(failure.into()),
        answer => Ok(Some(answer)),
    }
}

/// Says a last word to the manager.
pub(super) fn tell(said: &Said) -> Result<()> {
    let line = MANAGER.get().ok_or_else(line::left)?;
    line.lock().unwrap_or_else(PoisonError::into_inner).say(said, None).map(drop)
}

/// Gives a directory overlay's mark that it hides what lies below it.
pub(crate) fn make_opaque(directory: BorrowedFd<'_>) -> Result<()> {
    match ask(&Said::Opaque, Some(directory))? {
        Some(_) => Ok(()),
        None => make_opaque_here(directory),
    }
}

/// Makes a device.
pub(crate) fn make_device(
    directory: BorrowedFd<'_>,
    name: &[u8],
    block: bool,
    (major, minor): (u32, u32),
) -> Result<()> {
    let said = Said::Device { name: name.to_vec(), block, major, minor };
    match ask(&said, Some(directory))? {
        Some(_) => Ok(()),
        None => make_device_here(directory, name, block, (major, minor)),
    }
}

pub(super) fn make_opaque_here(directory: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
        .map_err(|errno| Error::io("mark the directory as opaque", errno.into()))
}

pub(super) fn make_device_here(
    directory: BorrowedFd<'_>,
    name: &[u8],
    block: bool,
    (major, minor): (u32, u32),
) -> Result<()> {
    if name.contains(&b'/') || matches!(name, b"" | b"." | b"..") {
        return Err(Error::invalid("a device must have a name"));
    }
    let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(directory.as_fd(), name, kind, Mode::empty(), device)
        .map_err(|errno| Error::io("make the device", errno.into()))
}
