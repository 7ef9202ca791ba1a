//! Resource limits of a process.

use crate::error::{Context, Result};
use nix::sched::CloneFlags;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// This process, for [`apply`].
pub(crate) const OWN: u32 = 0;

/// Sets `limits` on the process `pid`.
pub(crate) fn apply(pid: u32, limits: &[PosixRlimit]) -> Result<()> {
    let process = Pid::from_raw(pid as i32);
    for limit in limits {
        let value = Rlimit { current: bound(limit.soft()), maximum: bound(limit.hard()) };
        prlimit(process, resource(limit.typ()), value)
            .context(|| format!("error setting rlimit type {}", limit.typ()))?;
    }
    Ok(())
}

/// The limits that the process sets itself, while it still is root. In a user namespace it may not
/// raise any.
pub(crate) fn from_inside(namespaces: CloneFlags, process: &Process) -> &[PosixRlimit] {
    match namespaces.contains(CloneFlags::CLONE_NEWUSER) {
        true => &[],
        false => process.rlimits().as_deref().unwrap_or_default(),
    }
}

/// The limits that are set from outside: those that [`from_inside`] leaves out.
pub(crate) fn from_outside(namespaces: CloneFlags, process: &Process) -> Option<&[PosixRlimit]> {
    let limits = process.rlimits().as_deref();
    limits.filter(|_| namespaces.contains(CloneFlags::CLONE_NEWUSER))
}

/// The largest number stands for no limit.
fn bound(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

fn resource(typ: PosixRlimitType) -> Resource {
    match typ {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
