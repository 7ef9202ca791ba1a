//! What becomes of a layer's archive, by each driver. It takes nothing but the driver's name: the
//! process that unpacks has no driver that works.

use std::io::BufRead;
use std::os::fd::OwnedFd;

use super::{DriverName, erofs};
use crate::error::Result;
use crate::snapshot::lookup::Lookup;
use crate::snapshot::marks::Marks;
use crate::snapshot::{Limits, unpack as directories};

/// Unpacks an archive as a layer upon `lowers`, which may themselves still be on their way, into the
/// snapshot's empty directory `files`. Returns the bytes of the files in it. Nothing is synced to
/// disk.
///
/// # Errors
/// [`crate::Kind::Invalid`] for an archive that is no layer, [`crate::Kind::Exhausted`] for a full
/// disk. The snapshot is half filled then.
pub(in crate::snapshot) fn unpack(
    driver: DriverName,
    archive: &mut dyn BufRead,
    files: OwnedFd,
    lowers: &dyn Lookup,
    limits: &Limits,
) -> Result<u64> {
    match driver {
        DriverName::Overlay => directories::unpack(archive, files, lowers, Marks::Overlay, limits),
        DriverName::Copying => directories::unpack(archive, files, lowers, Marks::Plain, limits),
        DriverName::Erofs => erofs::unpack(archive, &files, lowers, limits),
    }
}
