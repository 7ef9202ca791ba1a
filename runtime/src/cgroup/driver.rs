//! What every version of cgroups can do for one container.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::controller::Controller;
use super::devices::DeviceList;
use super::stats::Stats;
use crate::error::Result;

/// Whether limits are set on a cgroup that was just made or on one with processes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing has been set yet: every file holds the kernel's default.
    New,
    /// In use: values change in the order in which the kernel takes them.
    Running,
}

/// One container's cgroup in one hierarchy.
///
/// The life of such a cgroup:
///
/// 1. Its directory is made, and [`prepare`](Driver::prepare) makes it fit for processes.
/// 2. [`limit`](Driver::limit) and [`allow_devices`](Driver::allow_devices) set the limits of its
///    controllers while it is still empty, so that no process ever runs without them.
/// 3. The parent calls [`open`](Driver::open); the child enters through what that returns.
/// 4. While it runs: `limit` again for updates, [`measure`](Driver::measure),
///    [`freeze`](Driver::freeze) and [`thaw`](Driver::thaw).
/// 5. The directory is removed when it is empty again.
///
/// A driver touches only what belongs to the controllers that it [has](Driver::has); who calls it
/// makes sure that each option of a request finds a driver that has its controller.
pub(super) trait Driver {
    /// The cgroup's directory.
    fn directory(&self) -> &Path;

    /// Whether this hierarchy carries out `controller` for the container.
    fn has(&self, controller: Controller) -> bool;

    /// Makes the directory fit for processes and for limits.
    fn prepare(&self, stage: Stage) -> Result<()>;

    /// Sets the limits of this hierarchy's controllers.
    fn limit(&self, resources: &LinuxResources, stage: Stage) -> Result<()>;

    /// The files in which `controller` keeps its limits, but for those of huge pages.
    fn settings(&self, controller: Controller) -> &'static [&'static str];

    /// Lets the container use the devices of `list` and no others.
    fn allow_devices(&self, list: &DeviceList, stage: Stage) -> Result<()>;

    /// What a process enters this cgroup through: on v1 the file `tasks`, on v2 the directory.
    fn open(&self) -> Result<OwnedFd>;

    /// Stops all processes; returns when they have stopped.
    fn freeze(&self) -> Result<()>;

    /// Lets all processes go on.
    fn thaw(&self) -> Result<()>;

    /// Whether the processes are stopped or on the way to it.
    fn is_frozen(&self) -> Result<bool>;

    /// Whether a process that enters is stopped at once: this cgroup or one above it is frozen.
    fn stops_newcomers(&self) -> Result<bool>;

    /// Adds what this hierarchy's controllers have counted.
    fn measure(&self, stats: &mut Stats) -> Result<()>;
}
