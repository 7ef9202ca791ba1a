//! The way into a container's cgroups, opened by the parent and used by the child.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::{retry_on_intr, write};

use super::Group;
use super::systemd::Unit;
use crate::error::{Context, Error, Result};

/// Open descriptors for entering each of a container's cgroups.
///
/// A child is best started inside the v2 cgroup (`clone3` with `CLONE_INTO_CGROUP` and
/// [`v2_dir`](Entry::v2_dir)), and enters the v1 cgroups itself with
/// [`join_self`](Entry::join_self) before it has a second thread.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    v1_tasks: Vec<OwnedFd>,
    v2: Option<OwnedFd>,
    /// The scope that the v2 cgroup is in, and where in it.
    scope: Option<(Unit, PathBuf)>,
}

impl Entry {
    /// The way into the container's own cgroups, which belong to `unit` if systemd made them.
    pub(super) fn open_own(groups: &[Group], unit: Option<&Unit>) -> Result<Entry> {
        let scope = unit.map(|unit| (unit.clone(), PathBuf::new()));
        Ok(Entry { scope, ..Entry::open(groups)? })
    }

    pub(super) fn open(groups: &[Group]) -> Result<Entry> {
        let mut entry = Entry { v1_tasks: Vec::with_capacity(groups.len()), v2: None, scope: None };
        for group in groups {
            let fd = group.driver().open()?;
            match group {
                Group::V1(_) => entry.v1_tasks.push(fd),
                Group::V2(_) => entry.v2 = Some(fd),
            }
        }
        Ok(entry)
    }

    pub(super) fn open_beside(groups: &[Group], unit: Option<&Unit>, init: u32) -> Result<Entry> {
        let mut entry = Entry::open_own(groups, unit)?;
        if let Some(group) = groups.iter().find_map(Group::v2)
            && let Some(inner) = group.place_of(init)?
        {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::open(&inner, flags, Mode::empty())
                .context(|| format!("open {}", inner.display()))?;
            entry.v2 = Some(directory);
            if let (Some((_, place)), Ok(below)) =
                (&mut entry.scope, inner.strip_prefix(&group.directory))
            {
                *place = below.to_owned();
            }
        }
        Ok(entry)
    }

    /// The container's v2 cgroup, for `clone3`; a path descriptor.
    pub(crate) fn v2_dir(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Whether systemd can put a process there whom the kernel does not let this user put: a plain
    /// user moves processes only within what they were delegated, and theirs may come from outside.
    pub(crate) fn is_by_systemd(&self) -> bool {
        self.scope.is_some()
    }

    /// Has systemd move the process `pid` into the container's scope.
    ///
    /// # Errors
    /// systemd refuses, or there is no scope.
    pub(crate) fn attach(&self, pid: u32) -> Result<()> {
        match &self.scope {
            Some((unit, below)) => unit.attach(below, pid),
            None => Err(Error::state("the container's cgroup is not systemd's")),
        }
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
