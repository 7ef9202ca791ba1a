//! The v2 memory controller.

use std::path::Path;

use oci_spec::runtime::LinuxMemory;

use super::super::{convert, file};
use crate::error::{Error, Result};

/// Sets the limits that `memory` names; zero leaves a limit as it is.
pub(super) fn limit(directory: &Path, memory: &LinuxMemory) -> Result<()> {
    refuse_v1_only(memory)?;
    let limit = memory.limit().unwrap_or(0);
    let both = memory.swap().unwrap_or(0);
    if memory.check_before_update() == Some(true) {
        refuse_less_than_used(directory, limit, both)?;
    }
    if let Some(swap) = convert::swap_limit(both, limit)? {
        let there = file::write_if_there(directory, "memory.swap.max", &swap)?;
        // A kernel without swap has nothing to switch off and nothing to set free.
        if !there && swap != "max" && swap != "0" {
            return Err(Error::unsupported(format!(
                "memory.swap can't be set to {both}: this kernel does not count swap"
            )));
        }
    }
    if let Some(limit) = convert::limit(limit) {
        file::write(directory, "memory.max", &limit)?;
    }
    if let Some(low) = convert::limit(memory.reservation().unwrap_or(0)) {
        file::write(directory, "memory.low", &low)?;
    }
    Ok(())
}

/// Refuses a limit under which the kernel would have to kill at once.
fn refuse_less_than_used(directory: &Path, limit: i64, both: i64) -> Result<()> {
    let used = file::read_number(directory, "memory.current")?;
    for (what, value) in [("memory+swap limit", both), ("memory limit", limit)] {
        if value > 0 && value.unsigned_abs() <= used {
            return Err(Error::invalid(format!("rejecting {what} {value} <= usage {used}")));
        }
    }
    Ok(())
}

/// Options for which v2 has nothing.
fn refuse_v1_only(memory: &LinuxMemory) -> Result<()> {
    let set = |value: Option<i64>| value.is_some_and(|value| value != 0);
    #[allow(deprecated)] // Asked for all the same, so it has to be answered.
    let kernel = set(memory.kernel());
    for (option, given) in [
        ("memory.kernel", kernel),
        ("memory.kernelTCP", set(memory.kernel_tcp())),
        ("memory.swappiness", memory.swappiness().is_some_and(|value| value != u64::MAX)),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("memory.useHierarchy=false", memory.use_hierarchy() == Some(false)),
    ] {
        if given {
            return Err(super::only_on_v1(option));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_v1_are_refused_by_name() {
        for (json, option) in [
            (r#"{"kernelTCP": 1}"#, "memory.kernelTCP"),
            (r#"{"swappiness": 60}"#, "memory.swappiness"),
            (r#"{"disableOOMKiller": true}"#, "memory.disableOOMKiller"),
        ] {
            let memory: LinuxMemory = serde_json::from_str(json).unwrap();
            let error = refuse_v1_only(&memory).unwrap_err();
            assert!(error.to_string().contains(option), "{error}");
        }
        let harmless: LinuxMemory = serde_json::from_str(
            r#"{"limit": 5, "disableOOMKiller": false, "swappiness": 18446744073709551615}"#,
        )
        .unwrap();
        refuse_v1_only(&harmless).unwrap();
    }
}
