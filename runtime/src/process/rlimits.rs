//! Resource limits of a process.

use crate::error::{Context, Error, Result};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Sets `limits` on the process `pid`, from outside: the process itself may lack the right.
pub(crate) fn apply(pid: u32, limits: &[PosixRlimit]) -> Result<()> {
    let process = Pid::from_raw(pid as i32)
        .ok_or_else(|| Error::invalid("no process to set resource limits of"))?;
    for limit in limits {
        let value = Rlimit { current: bound(limit.soft()), maximum: bound(limit.hard()) };
        prlimit(Some(process), resource(limit.typ()), value)
            .context(|| format!("error setting rlimit type {}", limit.typ()))?;
    }
    Ok(())
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
