//! cgroup v1: one hierarchy for each controller, or for a few of them together.

mod blkio;
mod cpu;
mod cpuset;
mod freezer;
mod memory;
mod others;
mod stats;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::controller::Controller;
use super::devices::DeviceList;
use super::driver::{Driver, Stage};
use super::file;
use super::stats::Stats;
use crate::error::{Context, Error, Result};

/// A container's cgroup in one v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// What the hierarchy holds; empty for `name=systemd`.
    pub(super) controllers: Vec<Controller>,
    /// Where the hierarchy is mounted.
    pub(super) mount_point: PathBuf,
    /// The container's directory.
    pub(super) directory: PathBuf,
}

impl Driver for Group {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    fn prepare(&self, stage: Stage) -> Result<()> {
        if self.has(Controller::Cpuset) {
            cpuset::inherit(&self.directory, &self.mount_point, stage)?;
        }
        Ok(())
    }

    fn limit(&self, resources: &LinuxResources, stage: Stage) -> Result<()> {
        let directory = &self.directory;
        for controller in &self.controllers {
            match controller {
                Controller::Memory => {
                    if let Some(memory) = resources.memory() {
                        memory::limit(directory, memory, stage)?;
                    }
                }
                Controller::Cpu => {
                    if let Some(cpu) = resources.cpu() {
                        cpu::limit(directory, cpu)?;
                    }
                }
                Controller::Cpuset => {
                    if let Some(cpu) = resources.cpu() {
                        cpuset::limit(directory, cpu)?;
                    }
                }
                Controller::Pids => {
                    if let Some(pids) = resources.pids() {
                        super::tasks::limit(directory, *pids)?;
                    }
                }
                Controller::Io => {
                    if let Some(block_io) = resources.block_io() {
                        blkio::limit(directory, block_io)?;
                    }
                }
                Controller::Hugetlb => {
                    others::limit_huge_pages(directory, resources.hugepage_limits().as_deref())?;
                }
                Controller::NetCls => others::classify(directory, resources.network().as_ref())?,
                Controller::NetPrio => others::prioritise(directory, resources.network().as_ref())?,
                Controller::Rdma => super::rdma::limit(directory, resources.rdma().as_ref())?,
                Controller::Cpuacct
                | Controller::PerfEvent
                | Controller::Devices
                | Controller::Freezer
                | Controller::Misc => {}
            }
        }
        Ok(())
    }

    fn settings(&self, controller: Controller) -> &'static [&'static str] {
        match controller {
            Controller::Cpu => &[
                "cpu.shares",
                "cpu.cfs_period_us",
                "cpu.cfs_quota_us",
                "cpu.cfs_burst_us",
                "cpu.rt_period_us",
                "cpu.rt_runtime_us",
                "cpu.idle",
            ],
            Controller::Cpuset => &["cpuset.cpus", "cpuset.mems"],
            Controller::Memory => &[
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
                "memory.soft_limit_in_bytes",
                "memory.kmem.limit_in_bytes",
                "memory.kmem.tcp.limit_in_bytes",
                "memory.swappiness",
                "memory.oom_control",
            ],
            Controller::Pids => &["pids.max"],
            Controller::Io => &[
                "blkio.weight",
                "blkio.weight_device",
                "blkio.leaf_weight",
                "blkio.leaf_weight_device",
                "blkio.bfq.weight",
                "blkio.bfq.weight_device",
                "blkio.throttle.read_bps_device",
                "blkio.throttle.write_bps_device",
                "blkio.throttle.read_iops_device",
                "blkio.throttle.write_iops_device",
            ],
            Controller::NetCls => &["net_cls.classid"],
            Controller::NetPrio => &["net_prio.ifpriomap"],
            Controller::Rdma => &["rdma.max"],
            Controller::Hugetlb
            | Controller::Cpuacct
            | Controller::PerfEvent
            | Controller::Devices
            | Controller::Freezer
            | Controller::Misc => &[],
        }
    }

    fn allow_devices(&self, list: &DeviceList, stage: Stage) -> Result<()> {
        let present = match stage {
            // A new cgroup has what its parent has; closing it first makes reading that needless.
            Stage::New => DeviceList { allow_others: true, ..DeviceList::default() },
            Stage::Running => DeviceList::of_cgroup(&file::read(&self.directory, "devices.list")?),
        };
        for step in list.steps_from(&present).iter().filter(|step| !step.lines.is_empty()) {
            let lines = step.lines.iter().map(String::as_str);
            file::try_write_each(&self.directory, step.file, lines).map_err(|errno| {
                file::refused(&self.directory, step.file, &step.lines.join(", "), errno)
            })?;
        }
        Ok(())
    }

    fn open(&self) -> Result<OwnedFd> {
        // Writing 0 to `tasks` moves one thread and takes no lock on all processes of the machine,
        // as `cgroup.procs` does.
        let tasks = self.directory.join("tasks");
        rustix::fs::open(&tasks, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("open {}", tasks.display()))
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

    fn stops_newcomers(&self) -> Result<bool> {
        match self.has(Controller::Freezer) {
            true => freezer::stops_newcomers(&self.directory),
            false => Ok(false),
        }
    }

    fn measure(&self, stats: &mut Stats) -> Result<()> {
        for controller in &self.controllers {
            stats::measure(*controller, &self.directory, stats)?;
        }
        Ok(())
    }
}

/// Refuses the keys of `unified`: they are names of v2 files.
pub(super) fn refuse_unified(resources: &LinuxResources) -> Result<()> {
    match resources.unified().as_ref().and_then(|keys| keys.keys().min()) {
        None => Ok(()),
        Some(key) => Err(Error::unsupported(format!(
            "invalid configuration: unified resource {key:?} can't be set: the controllers of this host are on cgroup v1"
        ))),
    }
}
