//! cgroup v2: one hierarchy, in which each cgroup hands controllers down to its children.

mod cpu;
mod delegate;
mod devices;
mod freezer;
mod io;
mod memory;
mod program;
mod stats;
mod unified;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::controller::Controller;
use super::devices::DeviceList;
use super::driver::{Driver, Stage};
use super::stats::Stats;
use super::{file, hugetlb, rdma, tasks};
use crate::error::{Context, Error, Result};

pub(super) use cpu::Bandwidth;
pub(super) use delegate::{Wanted, hand_down};
pub(super) use memory::Limits as MemoryLimits;

/// A container's cgroup in the v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// What this hierarchy carries out for the container; `devices` and `freezer` are among them
    /// unless a v1 hierarchy has them.
    pub(super) controllers: Vec<Controller>,
    /// Where the hierarchy is mounted.
    pub(super) mount_point: PathBuf,
    /// The container's directory.
    pub(super) directory: PathBuf,
}

impl Group {
    /// Where a process has to go that joins the container's process `init`, if that is not the
    /// container's cgroup itself: one that hands out controllers holds no processes.
    pub(super) fn place_of(&self, init: u32) -> Result<Option<PathBuf>> {
        if file::read(&self.directory, "cgroup.subtree_control")?.is_empty() {
            return Ok(None);
        }
        let path = PathBuf::from(format!("/proc/{init}/cgroup"));
        let text = file::read_path(&path).context(|| format!("open {}", path.display()))?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let place = own.map(|own| self.mount_point.join(own));
        Ok(place.filter(|place| place.starts_with(&self.directory)))
    }
}

impl Group {
    /// Adds what every v2 cgroup counts, with or without the controllers for it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn measure_without_controllers(&self, stats: &mut Stats) -> Result<()> {
        for controller in [Controller::Cpu, Controller::Memory, Controller::Io, Controller::Pids] {
            if !self.has(controller) {
                stats::measure_without(controller, &self.directory, stats)?;
            }
        }
        Ok(())
    }

    /// Lets the user `owner` make cgroups inside this one and move processes between them, but not
    /// change its limits.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn delegate(&self, owner: u32) -> Result<()> {
        delegate::give_to(&self.directory, owner)
    }
}

impl Driver for Group {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    fn prepare(&self, _stage: Stage) -> Result<()> {
        Ok(())
    }

    fn limit(&self, resources: &LinuxResources, stage: Stage) -> Result<()> {
        let directory = &self.directory;
        if let Some(pids) = resources.pids().filter(|_| self.has(Controller::Pids)) {
            tasks::limit(directory, pids)?;
        }
        if let Some(memory) = resources.memory().filter(|_| self.has(Controller::Memory)) {
            memory::limit(directory, &memory, stage)?;
        }
        if let Some(block_io) = resources.block_io().as_ref().filter(|_| self.has(Controller::Io)) {
            io::limit(directory, block_io)?;
        }
        if let Some(cpu) = resources.cpu() {
            if self.has(Controller::Cpu) {
                cpu::limit(directory, cpu)?;
            }
            if self.has(Controller::Cpuset) {
                cpu::limit_sets(directory, cpu)?;
            }
        }
        if self.has(Controller::Hugetlb) {
            hugetlb::limit(directory, resources.hugepage_limits().as_deref(), "max")?;
        }
        if self.has(Controller::Rdma) {
            rdma::limit(directory, resources.rdma().as_ref())?;
        }
        unified::set(directory, &self.controllers, resources.unified().as_ref())
    }

    fn settings(&self, controller: Controller) -> &'static [&'static str] {
        match controller {
            Controller::Cpu => &["cpu.weight", "cpu.max", "cpu.max.burst", "cpu.idle"],
            Controller::Cpuset => &["cpuset.cpus", "cpuset.mems"],
            Controller::Memory => &["memory.max", "memory.low", "memory.swap.max"],
            Controller::Pids => &["pids.max"],
            Controller::Io => &["io.max", "io.weight", "io.bfq.weight"],
            Controller::Rdma => &["rdma.max"],
            Controller::Hugetlb
            | Controller::NetCls
            | Controller::NetPrio
            | Controller::Cpuacct
            | Controller::PerfEvent
            | Controller::Devices
            | Controller::Freezer
            | Controller::Misc => &[],
        }
    }

    fn allow_devices(&self, list: &DeviceList, stage: Stage) -> Result<()> {
        devices::enforce(&self.directory, list, stage)
    }

    fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.directory, flags, Mode::empty())
            .context(|| format!("open {}", self.directory.display()))
    }

    fn stops_newcomers(&self) -> Result<bool> {
        freezer::stops_newcomers(&self.directory)
    }

    fn freeze(&self) -> Result<()> {
        freezer::freeze(&self.directory)
    }

    fn thaw(&self) -> Result<()> {
        freezer::thaw(&self.directory)
    }

    fn is_frozen(&self) -> Result<bool> {
        freezer::is_frozen(&self.directory)
    }

    fn measure(&self, stats: &mut Stats) -> Result<()> {
        for controller in &self.controllers {
            stats::measure(*controller, &self.directory, stats)?;
        }
        Ok(())
    }
}

/// What to say about an option for which v2 has nothing.
fn only_on_v1(option: &str) -> Error {
    Error::unsupported(format!("{option} can't be set: cgroup v2 has nothing like it"))
}
