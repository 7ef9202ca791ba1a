//! Limits of what a container writes, and of what a volume has, by the file system's own quotas: each
//! container or volume that has one is a project of its own. Nothing of this is recorded: which project a directory belongs to, and
//! what that may use, the file system knows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use super::directory::{FILES, open};
use crate::error::{Error, Kind, Result};
use crate::linux;

/// The first number of our projects; administrators number theirs from 1.
const FIRST: u32 = 0x7461_0000;
/// How many numbers a snapshot's own may give.
const NUMBERS: u32 = 0x0100_0000;
/// How many numbers are tried for one that nobody has.
const TRIES: u32 = 10_000;
/// What may be the number of a project of ours.
const OURS: std::ops::Range<u32> = FIRST..FIRST + NUMBERS + TRIES;

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
    // What will be made in them belongs to the project, too.
    limit_all(&[directory, open(&own.join(FILES))?], number, bytes)
        .map_err(|errno| Error::io(format_args!("limit {}", own.display()), errno.into()))
}

/// Whether what is in the directory `path` can be limited.
pub(crate) fn works_at(path: &Path) -> bool {
    open(path).is_ok_and(|directory| matches!(linux::limits_projects(directory.as_fd()), Ok(true)))
}

/// Limits what the new volume at `content`, which is empty still, may take to `bytes`.
///
/// # Errors
/// [`Kind::Invalid`] where the file system can't, in docker's words.
pub(crate) fn limit_volume(content: &Path, bytes: u64) -> Result<()> {
    if !works_at(content) {
        return Err(Error::invalid("quota size requested but no quota support"));
    }
    let number = rand::random::<u64>();
    limit_all(&[open(content)?], number, bytes)
        .map_err(|errno| Error::io(format_args!("limit {}", content.display()), errno.into()))
}

/// Makes a project of these directories, which are on one file system; its number is looked for from
/// `number` on.
fn limit_all(directories: &[OwnedFd], number: u64, bytes: u64) -> rustix::io::Result<()> {
    let Some(first) = directories.first() else { return Ok(()) };
    // A number is free until something belongs to the project.
    static CHOOSING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let project = free_project(first, number)?;
    for directory in directories {
        linux::set_project(directory.as_fd(), project)?;
    }
    linux::set_limit(first.as_fd(), project, bytes)
}

/// A project that nothing belongs to; others on this file system may use numbers like ours.
fn free_project(on: &OwnedFd, number: u64) -> rustix::io::Result<u32> {
    let number = u32::try_from(number % u64::from(NUMBERS)).unwrap_or_default();
    for project in (FIRST + number..).take(TRIES as usize) {
        let known = linux::quota(on.as_fd(), project)?;
        if (known.files, known.limit) == (0, 0) {
            return Ok(project);
        }
    }
    Err(Errno::DQUOT)
}

/// Whether the snapshot `own` has a limit.
pub(super) fn is_limited(own: &Path) -> bool {
    project_of(own).is_some()
}

/// Takes an empty directory of a snapshot out of its project: files that belong to no project get no
/// names in one.
pub(super) fn exempt(directory: BorrowedFd<'_>) -> Result<()> {
    match linux::project(directory) {
        Ok(project) if OURS.contains(&project) => linux::leave_project(directory)
            .map_err(|errno| Error::io("exempt a directory from its limit", errno.into())),
        _ => Ok(()),
    }
}

/// The directory `own`, and the project of ours that it belongs to.
fn project_of(own: &Path) -> Option<(OwnedFd, u32)> {
    let directory = open(own).ok()?;
    let project = linux::project(directory.as_fd()).ok()?;
    OURS.contains(&project).then_some((directory, project))
}

/// Lifts the limit of the snapshot or volume `own`, which is about to be deleted, if it has one.
pub(crate) fn lift(own: &Path) {
    if let Some((directory, project)) = project_of(own)
        && let Err(errno) = linux::set_limit(directory.as_fd(), project, 0)
    {
        // The number isn't used again as long as it has a limit.
        tracing::warn!(project, error = %errno, "the limit of a container or volume that is gone stays");
    }
}
