//! Limits of what a container writes, by the file system's own quotas: each container that has one
//! is a project of its own. Nothing of this is recorded: which project a directory belongs to, and
//! what that may use, the file system knows.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use super::directory::{FILES, open};
use crate::error::{Error, Kind, Result};
use crate::linux;

/// The first number of our projects; administrators number theirs from 1.
const FIRST: u32 = 0x7461_0000;
/// How many numbers are tried for one that nobody has.
const TRIES: u32 = 10_000;

/// Limits what the new snapshot `own`, number `number`, may take to `bytes`. It is empty still.
///
/// # Errors
/// [`Kind::Invalid`] where the file system can't, in docker's words.
pub(super) fn limit(own: &Path, number: u64, bytes: u64) -> Result<()> {
    let directory = open(own)?;
    if !matches!(linux::limits_projects(directory.as_fd()), Ok(true)) {
        return Err(Error::new(
            Kind::Invalid,
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, or \
             ext4 with the features quota and project and the mount option 'prjquota' (Linux 5.14 \
             and later)",
        ));
    }
    let failed = |errno: Errno| Error::io(format_args!("limit {}", own.display()), errno.into());
    let project = free_project(&directory, number).map_err(failed)?;
    // What will be made in them belongs to the project, too.
    for directory in [&directory, &open(&own.join(FILES))?] {
        linux::set_project(directory.as_fd(), project).map_err(failed)?;
    }
    linux::set_limit(directory.as_fd(), project, bytes).map_err(failed)
}

/// A project that nothing belongs to; others on this file system may use numbers like ours.
fn free_project(on: &OwnedFd, number: u64) -> rustix::io::Result<u32> {
    let number = u32::try_from(number % 0x0100_0000).unwrap_or_default();
    for project in (FIRST + number..).take(TRIES as usize) {
        let known = linux::quota(on.as_fd(), project)?;
        if (known.files, known.limit) == (0, 0) {
            return Ok(project);
        }
    }
    Err(Errno::DQUOT)
}

/// Lifts the limit of the snapshot `own`, which is about to be deleted, if it has one.
pub(super) fn lift(own: &Path) {
    let Ok(directory) = open(own) else { return };
    let Ok(project) = linux::project(directory.as_fd()) else { return };
    if project >= FIRST
        && let Err(errno) = linux::set_limit(directory.as_fd(), project, 0)
    {
        // The number isn't used again as long as it has a limit.
        tracing::warn!(project, error = %errno, "the limit of a container that is gone stays");
    }
}
