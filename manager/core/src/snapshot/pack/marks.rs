//! Overlay's marks of what is deleted, as a layer's archive has them.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Stat};

use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::unpack::metadata::OPAQUE;

/// What the name of a mark begins with in an archive.
const PREFIX: &[u8] = b".wh.";
/// The mark of a directory that hides what lies below it.
const HIDES: &[u8] = b".wh..wh..opq";

/// Whether it is overlay's mark of something deleted.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether the upper directory hides what lies below it.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0_u8; 1];
    rustix::fs::fgetxattr(directory, OPAQUE, &mut value) == Ok(1) && value == *b"y"
}

/// The path of the mark that `shown` is deleted.
pub(super) fn whiteout(shown: &[u8]) -> Vec<u8> {
    let (above, name) = path::split(shown);
    path::join(above, &[PREFIX, name].concat())
}

/// The path of the mark that `directory` hides what lies below it.
pub(super) fn opaque(directory: &[u8]) -> Vec<u8> {
    path::join(directory, HIDES)
}

/// A name that would be taken for a mark.
pub(super) fn check_name(shown: &[u8]) -> Result<()> {
    if path::split(shown).1.starts_with(PREFIX) {
        return Err(Error::invalid(format!(
            "/{} can't be part of an image: names that begin with \".wh.\" mark deleted files there",
            String::from_utf8_lossy(shown)
        )));
    }
    Ok(())
}
