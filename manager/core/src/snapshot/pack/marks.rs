//! Marks of what is deleted, as a layer's archive has them.

use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::marks::HIDES;

/// What the name of a mark begins with in an archive.
const PREFIX: &[u8] = b".wh.";

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
