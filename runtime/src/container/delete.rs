//! Removing a container and all that was made for it.

use super::Container;
use super::bundle::parse;
use super::hooks;
use super::id::ContainerId;
use super::identity::SIGKILL;
use super::plan::linux_of;
use super::record::Phase;
use super::status::Action;
use super::store::StateDir;
use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Kind, Result};
use crate::log::Log;
use crate::resctrl;
use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::path::Path;

/// What is done about a program that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    /// The container is left alone.
    Refuse,
    /// It is killed; a container that is not there at all is no error either.
    Kill,
}

/// How long a killed process may take to end, in seconds.
const PATIENCE: i64 = 10;

/// Removes the container `id`.
pub(crate) fn delete(root: &Path, id: &str, running: Running, log: &Log) -> Result<()> {
    match open_locked(root, &ContainerId::parse(id)?) {
        Err(error) if error.kind() == Kind::NotFound && running == Running::Kill => Ok(()),
        container => container.and_then(|container| delete_locked(&container, id, running, log)),
    }
}

/// Opens the container `id` once nobody else changes it, be it to remove it or to make it. What is
/// there without being a container is removed.
fn open_locked(root: &Path, id: &ContainerId) -> Result<Container> {
    let dir = StateDir::open(root, id)?;
    dir.lock()?;
    match dir.load() {
        Ok(record) => Ok(Container { dir, record }),
        Err(error) if error.kind() == Kind::NotFound => {
            remove_remains(&dir, id)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn delete_locked(container: &Container, id: &str, running: Running, log: &Log) -> Result<()> {
    if running == Running::Refuse {
        container
            .status()?
            .allows(Action::Delete)
            .map_err(|error| Error::state(format!("cannot delete container {id} that {error}")))?;
    }
    container.end_init()?;
    container.remove(log)
}

/// Removes what a `create` left that was killed before it knew the container's state: the directory,
/// and cgroups without a process.
fn remove_remains(dir: &StateDir, id: &ContainerId) -> Result<()> {
    if let Ok((spec, _)) = dir.load_config().and_then(|config| parse(&config)) {
        let linux = linux_of(&spec);
        let cgroups_path = linux.cgroups_path().as_ref().and_then(|path| path.to_str());
        Cgroup::remove_remains(cgroups_path, id.as_str())?;
    }
    dir.remove()
}

impl Container {
    /// Removes it after its processes were written to files and ended.
    pub(crate) fn remove_dumped(&self, log: &Log) -> Result<()> {
        self.dir.lock()?;
        self.end_init()?;
        self.remove(log)
    }

    /// Kills the first process, if it still is there, and waits for its end.
    pub(super) fn end_init(&self) -> Result<()> {
        let Ok(pidfd) = self.record.init.open() else { return Ok(()) };
        match self.kill(SIGKILL) {
            // It has ended by itself in between.
            Err(error) if error.kind() == Kind::State => {}
            other => other?,
        }
        let timeout = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        let ended = rustix::io::retry_on_intr(|| {
            poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout))
        })
        .context(|| "wait for the container's init")?;
        match ended {
            0 => Err(Error::state("container init still running")),
            _ => Ok(()),
        }
    }

    /// Removes what belongs to a container that has stopped. Goes on past a failure, and reports
    /// the first.
    pub(crate) fn remove(&self, log: &Log) -> Result<()> {
        // The configuration is removed with the rest.
        let hooks = self.poststop_hooks();
        if !self.record.own_pid_namespace || self.record.phase == Phase::Creating {
            // Processes that outlived the first are the container's too.
            let _ = self.record.cgroup.kill_all(SIGKILL);
        }
        let cgroup = self.record.cgroup.remove().context(|| "unable to remove container's cgroup");
        let group = self.record.resctrl.as_ref().map_or(Ok(()), resctrl::Group::remove);
        let group = group.context(|| "unable to remove container's IntelRDT group");
        let directory = self.dir.remove().context(|| "unable to remove container state dir");
        hooks::run_poststop(hooks.as_deref().unwrap_or_default(), &self.record, log);
        cgroup.and(group).and(directory).and(hooks.map(drop))
    }

    fn poststop_hooks(&self) -> Result<Vec<Hook>> {
        let hooks = self.spec()?.hooks().as_ref().and_then(|hooks| hooks.poststop().clone());
        Ok(hooks.unwrap_or_default())
    }
}
