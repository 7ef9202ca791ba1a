//! Which cgroup controllers this host has, and on which hierarchy each sits. On a hybrid host a
//! controller may sit on either.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A cgroup controller that containers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Shares and quotas of processor time.
    Cpu,
    /// Which processors and memory nodes.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// The number of processes.
    Pids,
    /// Disk bandwidth (`blkio` on v1, `io` on v2).
    Io,
    /// Which devices (on v2 this is a BPF program, not a controller).
    Devices,
    /// Freezing (on v2 a part of every cgroup, not a controller).
    Freezer,
}

/// The hierarchy that a controller sits on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seat {
    /// A hierarchy of version 1, mounted here.
    V1(PathBuf),
    /// The unified hierarchy, mounted here.
    V2(PathBuf),
}

/// The controllers of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cgroups {
    seats: BTreeMap<Controller, Seat>,
    unified: bool,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Cpu, Self::Cpuset, Self::Memory, Self::Pids, Self::Io, Self::Devices, Self::Freezer];

    /// The kernel's name on version 1.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "blkio",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
        }
    }

    /// The name in `cgroup.controllers`; none if version 2 has it without a controller.
    fn unified_name(self) -> Option<&'static str> {
        match self {
            Self::Io => Some("io"),
            Self::Devices | Self::Freezer => None,
            other => Some(other.name()),
        }
    }
}

impl Cgroups {
    /// Reads which hierarchies are mounted.
    pub fn read() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::from_mounts(&mounts, |mount| {
            fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        })
    }

    /// The same from the text of a mountinfo file; `controllers` reads a unified hierarchy's list.
    fn from_mounts(mountinfo: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut cgroups = Self::default();
        for mount in mountinfo.lines().filter_map(CgroupMount::parse) {
            let offered = if mount.unified { controllers(mount.at) } else { String::new() };
            for controller in Controller::ALL {
                let here = match (mount.unified, controller.unified_name()) {
                    (false, _) => mount.options.split(',').any(|o| o == controller.name()),
                    (true, Some(name)) => offered.split_whitespace().any(|o| o == name),
                    (true, None) => !cgroups.seats.contains_key(&controller),
                };
                if here {
                    let at = mount.at.to_owned();
                    let seat = if mount.unified { Seat::V2(at) } else { Seat::V1(at) };
                    cgroups.seats.insert(controller, seat);
                }
            }
            cgroups.unified |= mount.unified && mount.at == Path::new("/sys/fs/cgroup");
        }
        cgroups
    }

    /// Whether version 2 is all there is (a hybrid host counts as version 1, as everywhere).
    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// Where `controller` sits; none if the kernel doesn't offer it.
    pub fn seat(&self, controller: Controller) -> Option<&Seat> {
        self.seats.get(&controller)
    }

    /// Whether the kernel offers `controller`.
    pub fn has(&self, controller: Controller) -> bool {
        self.seats.contains_key(&controller)
    }

    /// Whether swap can be limited too.
    pub fn limits_swap(&self) -> bool {
        match self.seat(Controller::Memory) {
            Some(Seat::V1(at)) => at.join("memory.memsw.limit_in_bytes").exists(),
            Some(Seat::V2(_)) => Path::new("/proc/swaps").exists(),
            None => false,
        }
    }

    /// Whether the killer of processes out of memory can be turned off; only version 1 has it.
    pub fn can_disable_oom_killer(&self) -> bool {
        matches!(self.seat(Controller::Memory), Some(Seat::V1(_)))
    }

    /// Whether a controller of version 1 has this file.
    pub fn has_file(&self, controller: Controller, name: &str) -> bool {
        matches!(self.seat(controller), Some(Seat::V1(at)) if at.join(name).exists())
    }

    /// Whether disk bandwidth can be weighed. On version 2 it depends on each disk's scheduler.
    pub fn weighs_io(&self) -> bool {
        match self.seat(Controller::Io) {
            Some(Seat::V1(_)) => ["blkio.weight", "blkio.bfq.weight"]
                .iter()
                .any(|name| self.has_file(Controller::Io, name)),
            Some(Seat::V2(_)) => true,
            None => false,
        }
    }

    /// The same for single disks.
    pub fn weighs_io_of_devices(&self) -> bool {
        match self.seat(Controller::Io) {
            Some(Seat::V1(_)) => ["blkio.weight_device", "blkio.bfq.weight_device"]
                .iter()
                .any(|name| self.has_file(Controller::Io, name)),
            Some(Seat::V2(_)) => true,
            None => false,
        }
    }

    /// Whether processor time can be limited by quota, not just weighed.
    pub fn has_cpu_quota(&self) -> bool {
        match self.seat(Controller::Cpu) {
            Some(Seat::V1(at)) => at.join("cpu.cfs_quota_us").exists(),
            Some(Seat::V2(_)) => true,
            None => false,
        }
    }
}

/// A line of mountinfo that mounts a cgroup hierarchy.
struct CgroupMount<'a> {
    at: &'a Path,
    unified: bool,
    options: &'a str,
}

impl<'a> CgroupMount<'a> {
    /// `36 35 0:30 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory`
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let at = Path::new(mount.split(' ').nth(4)?);
        let mut fields = filesystem.split(' ');
        let unified = match fields.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        Some(Self { at, unified, options: fields.nth(1).unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        30 29 0:25 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n\
        31 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 29 0:27 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n\
        33 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
        34 29 0:29 / / rw - ext4 /dev/sda rw\n";

    #[test]
    fn a_hybrid_host_has_controllers_on_both() {
        let cgroups = Cgroups::from_mounts(HYBRID, |_| "pids io\n".to_owned());
        assert!(!cgroups.is_unified());
        assert_eq!(
            cgroups.seat(Controller::Cpu),
            Some(&Seat::V1(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")))
        );
        let unified = Seat::V2(PathBuf::from("/sys/fs/cgroup/unified"));
        assert_eq!(cgroups.seat(Controller::Pids), Some(&unified));
        assert_eq!(cgroups.seat(Controller::Freezer), Some(&unified));
        assert!(matches!(cgroups.seat(Controller::Devices), Some(Seat::V1(_))));
        assert!(!cgroups.has(Controller::Cpuset));
    }

    #[test]
    fn version_2_alone_is_unified() {
        let mounts = "30 29 0:25 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
        let cgroups = Cgroups::from_mounts(mounts, |_| "cpuset cpu io memory pids".to_owned());
        assert!(cgroups.is_unified());
        assert!(Controller::ALL.into_iter().all(|controller| cgroups.has(controller)));
        assert!(!cgroups.can_disable_oom_killer());
    }
}
