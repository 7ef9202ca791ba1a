//! The v1 memory controller.

use std::path::Path;

use oci_spec::runtime::LinuxMemory;
use rustix::io::Errno;

use super::super::driver::Stage;
use super::super::file;
use crate::error::{Error, Result};

const LIMIT: &str = "memory.limit_in_bytes";
const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

/// Sets the limits that `memory` names; zero leaves a limit as it is.
pub(super) fn limit(directory: &Path, memory: &LinuxMemory, stage: Stage) -> Result<()> {
    limit_memory_and_swap(directory, memory, stage)?;
    if let Some(soft) = memory.reservation().filter(|value| *value != 0) {
        file::write(directory, "memory.soft_limit_in_bytes", &soft.to_string())?;
    }
    #[allow(deprecated)] // Kernels before 5.16 still carry it out; later ones refuse it.
    if let Some(kernel) = memory.kernel().filter(|value| *value != 0) {
        file::write(directory, "memory.kmem.limit_in_bytes", &kernel.to_string())?;
    }
    if let Some(tcp) = memory.kernel_tcp().filter(|value| *value != 0) {
        file::write(directory, "memory.kmem.tcp.limit_in_bytes", &tcp.to_string())?;
    }
    match memory.swappiness() {
        None | Some(u64::MAX) => {}
        Some(value @ 0..=100) => {
            file::write(directory, "memory.swappiness", &value.to_string())?;
        }
        Some(value) => {
            return Err(Error::invalid(format!(
                "invalid memory swappiness value: {value} (valid range is 0-100)"
            )));
        }
    }
    match (memory.disable_oom_killer(), stage) {
        (Some(true), _) => file::write(directory, "memory.oom_control", "1")?,
        (Some(false), Stage::Running) => file::write(directory, "memory.oom_control", "0")?,
        (Some(false), Stage::New) | (None, _) => {}
    }
    match memory.use_hierarchy() {
        None => Ok(()),
        Some(on) => file::write(directory, "memory.use_hierarchy", if on { "1" } else { "0" }),
    }
}

/// The limit of memory and the limit of memory and swap together: the kernel takes neither below
/// the other, so the order depends on which way they go.
fn limit_memory_and_swap(directory: &Path, memory: &LinuxMemory, stage: Stage) -> Result<()> {
    let limit = memory.limit().unwrap_or(0);
    let both = match memory.swap().unwrap_or(0) {
        // Unlimited memory means unlimited swap unless the request says otherwise.
        0 if limit == -1 => -1,
        both => both,
    };
    let raising = stage == Stage::Running
        && limit != 0
        && both != 0
        && (both == -1 || file::read_number(directory, LIMIT)? < both.unsigned_abs());
    if raising {
        write_with_swap(directory, both)?;
        write_limit(directory, limit)
    } else {
        write_limit(directory, limit)?;
        write_with_swap(directory, both)
    }
}

fn write_limit(directory: &Path, limit: i64) -> Result<()> {
    if limit == 0 {
        return Ok(());
    }
    match file::try_write(directory, LIMIT, &limit.to_string()) {
        Ok(()) => Ok(()),
        // The processes hold more, and the kernel could not take enough away.
        Err(Errno::BUSY) => {
            let usage = file::read_number(directory, "memory.usage_in_bytes")?;
            let peak = file::read_number(directory, "memory.max_usage_in_bytes")?;
            Err(Error::invalid(format!(
                "unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})"
            )))
        }
        Err(errno) => Err(file::refused(directory, LIMIT, &limit.to_string(), errno)),
    }
}

fn write_with_swap(directory: &Path, both: i64) -> Result<()> {
    if both == 0 {
        return Ok(());
    }
    let there = file::write_if_there(directory, WITH_SWAP, &both.to_string())?;
    // Where the kernel does not count swap, it is unlimited already.
    if there || both == -1 {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "memory.swap can't be set to {both}: this kernel does not count swap (boot parameter \
         swapaccount=1)"
    )))
}
