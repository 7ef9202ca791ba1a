//! The v2 memory controller.

use std::path::Path;

use oci_spec::runtime::LinuxMemory;

use super::super::driver::Stage;
use super::super::{convert, file};
use crate::error::{Error, Result};

const MAX: &str = "memory.max";
const SWAP: &str = "memory.swap.max";

/// Sets the limits that `memory` names; zero leaves a limit as it is.
pub(super) fn limit(directory: &Path, memory: &LinuxMemory, stage: Stage) -> Result<()> {
    let limits = Limits::wanted(directory, memory, stage)?;
    if let Some(swap) = &limits.swap {
        let there = file::write_if_there(directory, SWAP, swap)?;
        // A kernel without swap has nothing to switch off and nothing to set free.
        if !there && swap != "max" && swap != "0" {
            return Err(Error::unsupported(
                "memory.swap can't be set: this kernel does not count swap",
            ));
        }
    }
    for (name, value) in [(MAX, limits.max), ("memory.low", limits.low)] {
        if let Some(value) = value {
            file::write(directory, name, &value)?;
        }
    }
    Ok(())
}

/// New values for the files of the controller; none where one stays as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Limits {
    pub(in super::super) max: Option<String>,
    pub(in super::super) low: Option<String>,
    pub(in super::super) swap: Option<String>,
}

impl Limits {
    /// What `memory` asks for. It speaks of memory and swap together, as v1 does, and v2 of swap
    /// alone, so what one of them becomes depends on what the other is already.
    ///
    /// # Errors
    /// An option that v2 has nothing for, limits that contradict each other, or, if that is to be
    /// checked, a limit below what is in use.
    pub(in super::super) fn wanted(
        directory: &Path,
        memory: &LinuxMemory,
        stage: Stage,
    ) -> Result<Limits> {
        refuse_v1_only(memory)?;
        let limit = memory.limit().unwrap_or(0);
        let both = memory.swap().unwrap_or(0);
        if memory.check_before_update() == Some(true) {
            refuse_less_than_used(directory, limit, both)?;
        }
        let swap = match (limit, both, stage) {
            // A new cgroup has no limits that could be kept.
            (_, _, Stage::New) => convert::swap_limit(both, limit)?,
            (0, 1.., Stage::Running) => {
                let limit = limited_to(directory, MAX)?.unwrap_or(0);
                convert::swap_limit(both, limit)?
            }
            // What both may use together stays as it is.
            (1.., 0, Stage::Running) => match both_limited_to(directory)? {
                Some(both) => convert::swap_limit(both, limit)?,
                None => None,
            },
            (_, _, Stage::Running) => convert::swap_limit(both, limit)?,
        };
        Ok(Limits {
            max: convert::limit(limit),
            low: convert::limit(memory.reservation().unwrap_or(0)),
            swap,
        })
    }
}

/// How much memory and swap together may be used, if that is limited.
fn both_limited_to(directory: &Path) -> Result<Option<i64>> {
    let (memory, swap) = (limited_to(directory, MAX)?, limited_to(directory, SWAP)?);
    Ok(memory
        .zip(swap)
        .and_then(|(memory, swap)| memory.checked_add(swap))
        .filter(|both| *both > 0))
}

/// The number in a file, unless there is no limit or no such file.
fn limited_to(directory: &Path, name: &str) -> Result<Option<i64>> {
    let number = file::read_number_if_there(directory, name)?;
    Ok(number.filter(|number| *number != u64::MAX).and_then(|number| i64::try_from(number).ok()))
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

    /// The limit of swap that follows from a request to a cgroup with these limits.
    fn swap(max: &str, swap: &str, json: &str) -> Result<Option<String>> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(MAX), max).unwrap();
        std::fs::write(directory.path().join(SWAP), swap).unwrap();
        let memory: LinuxMemory = serde_json::from_str(json).unwrap();
        Ok(Limits::wanted(directory.path(), &memory, Stage::Running)?.swap)
    }

    #[test]
    fn memory_and_swap_together_stay_what_they_were() {
        for (max, present, json, expected) in [
            ("64", "max", r#"{"limit": 100}"#, None),
            ("max", "max", r#"{"limit": 100}"#, None),
            ("64", "64", r#"{"limit": 100}"#, Some("28")),
            ("64", "64", r#"{"limit": 128}"#, Some("0")),
            ("64", "64", r#"{"limit": 32, "swap": 40}"#, Some("8")),
            ("64", "64", r#"{"swap": 100}"#, Some("36")),
            ("64", "64", r#"{"swap": -1}"#, Some("max")),
            ("64", "64", r#"{"limit": -1}"#, Some("max")),
            ("64", "64", r#"{"reservation": 10}"#, None),
        ] {
            let found = swap(max, present, json).unwrap();
            assert_eq!(found.as_deref(), expected, "{max} {present} {json}");
        }
        let less = swap("64", "64", r#"{"limit": 129}"#).unwrap_err().to_string();
        assert!(less.contains("memory+swap limit should be >= memory limit"), "{less}");
        let alone = swap("max", "max", r#"{"swap": 100}"#).unwrap_err().to_string();
        assert!(alone.contains("unable to set swap limit without memory limit"), "{alone}");
    }

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
