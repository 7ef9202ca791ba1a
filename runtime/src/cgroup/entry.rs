//! The way into a container's cgroups, opened by the parent and used by the child.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{retry_on_intr, write};

use super::Group;
use crate::error::{Context, Result};

/// Open descriptors for entering each of a container's cgroups.
///
/// A child is best started inside the v2 cgroup (`clone3` with `CLONE_INTO_CGROUP` and
/// [`v2_dir`](Entry::v2_dir)), and enters the v1 cgroups itself with
/// [`join_self`](Entry::join_self) before it has a second thread.
#[derive(Debug)]
pub(crate) struct Entry {
    v1_tasks: Vec<OwnedFd>,
    v2: Option<OwnedFd>,
}

impl Entry {
    pub(super) fn open(groups: &[Group]) -> Result<Entry> {
        let mut entry = Entry { v1_tasks: Vec::with_capacity(groups.len()), v2: None };
        for group in groups {
            let fd = group.driver().open()?;
            match group {
                Group::V1(_) => entry.v1_tasks.push(fd),
                Group::V2(_) => entry.v2 = Some(fd),
            }
        }
        Ok(entry)
    }

    pub(super) fn open_beside(groups: &[Group], init: u32) -> Result<Entry> {
        let mut entry = Entry::open(groups)?;
        if let Some(group) = groups.iter().find_map(Group::v2)
            && let Some(inner) = group.place_of(init)?
        {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::open(&inner, flags, Mode::empty())
                .context(|| format!("open {}", inner.display()))?;
            entry.v2 = Some(directory);
        }
        Ok(entry)
    }

    /// The container's v2 cgroup, for `clone3`; a path descriptor.
    pub(crate) fn v2_dir(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling thread into the v1 cgroups. For a process that has just one thread, which
    /// is thereby moved as a whole. Allocates nothing, so it may be called after a fork.
    ///
    /// # Errors
    /// The kernel's reason not to let it in.
    pub(crate) fn join_self(&self) -> io::Result<()> {
        for tasks in &self.v1_tasks {
            retry_on_intr(|| write(tasks, b"0"))?;
        }
        Ok(())
    }
}
