//! CPU scheduling, I/O priority and memory policy of this process.

use super::check;
use std::io;

/// `struct sched_attr` as Linux 3.14 has it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SchedAttr {
    /// The structure's size in bytes; [`set_scheduler`] fills it in.
    pub(crate) size: u32,
    /// SCHED_*.
    pub(crate) policy: u32,
    /// SCHED_FLAG_*.
    pub(crate) flags: u64,
    /// For SCHED_OTHER and SCHED_BATCH.
    pub(crate) nice: i32,
    /// For SCHED_FIFO and SCHED_RR.
    pub(crate) priority: u32,
    /// For SCHED_DEADLINE, in nanoseconds.
    pub(crate) runtime: u64,
    /// For SCHED_DEADLINE, in nanoseconds.
    pub(crate) deadline: u64,
    /// For SCHED_DEADLINE, in nanoseconds.
    pub(crate) period: u64,
}

/// Sets this process's scheduling.
pub(crate) fn set_scheduler(attr: SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr };
    // SAFETY: `attr` is a sched_attr that says its own size and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })?;
    Ok(())
}

/// Sets this process's I/O priority, from its class and level (ioprio_set(2)).
pub(crate) fn set_io_priority(class: u16, level: u16) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = (libc::c_int::from(class) << 13) | libc::c_int::from(level);
    // SAFETY: the call takes plain numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) })?;
    Ok(())
}

/// Sets this process's memory policy (set_mempolicy(2)); `nodes` is a mask of NUMA nodes.
pub(crate) fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    let bits = nodes.len() * 64;
    // SAFETY: the kernel reads `bits` bits from a mask that has as many and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes.as_ptr(), bits + 1) })?;
    Ok(())
}
