//! The v1 cpuset controller: a new cgroup has no CPUs and no memory nodes, and takes no process
//! until it has both.

use std::path::Path;

use oci_spec::runtime::LinuxCpu;

use super::super::driver::Stage;
use super::super::file;
use crate::error::{Error, Result};

const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

/// Sets the CPUs and memory nodes that `cpu` names.
pub(super) fn limit(directory: &Path, cpu: &LinuxCpu) -> Result<()> {
    for (name, list) in [(CPUS, cpu.cpus()), (MEMS, cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            file::write(directory, name, list)?;
        }
    }
    Ok(())
}

/// Copies CPUs and memory nodes from the parent of `directory`, which gets them from its own parent
/// if it has none either, up to `mount_point`.
pub(super) fn inherit(directory: &Path, mount_point: &Path, stage: Stage) -> Result<()> {
    for name in [CPUS, MEMS] {
        let empty = match stage {
            Stage::New => true,
            Stage::Running => file::read(directory, name)?.is_empty(),
        };
        if empty {
            file::write(directory, name, &given_by_parent(directory, mount_point, name)?)?;
        }
    }
    Ok(())
}

/// What the parent of `directory` has in `name`, after it has been given something.
fn given_by_parent(directory: &Path, mount_point: &Path, name: &str) -> Result<String> {
    let parent = directory.parent().filter(|parent| parent.starts_with(mount_point));
    let Some(parent) = parent else {
        let top = mount_point.join(name);
        return Err(Error::unsupported(format!("{} is empty", top.display())));
    };
    let list = file::read(parent, name)?;
    if !list.is_empty() {
        return Ok(list);
    }
    let list = given_by_parent(parent, mount_point, name)?;
    file::write(parent, name, &list)?;
    Ok(list)
}
