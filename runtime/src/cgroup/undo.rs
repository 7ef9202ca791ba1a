//! Taking back a change of limits that failed half way.
//!
//! The kernel has no transactions, but its files tell what they hold. What a request may change is
//! read before it is carried out; if it fails, each file that differs gets back what it held.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::demand::demands;
use super::systemd::Unit;
use super::{Group, file, hugetlb};
use crate::error::{Error, Result};

/// Limits are checked against each other (a quota and its burst, memory and swap), so what the
/// kernel does not take back at first may be taken after the others.
const ROUNDS: u32 = 3;

/// What the limits of a container's cgroups were.
pub(super) struct Before<'a> {
    groups: Vec<(&'a Group, Vec<Setting>)>,
    unit: Option<&'a Unit>,
}

/// A file and what it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The file's name.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

impl<'a> Before<'a> {
    /// Reads the limits that carrying out `resources` may change.
    pub(super) fn read(
        groups: &'a [Group],
        unit: Option<&'a Unit>,
        resources: &LinuxResources,
    ) -> Before<'a> {
        let groups = groups.iter().map(|group| (group, settings(group, resources))).collect();
        Before { groups, unit }
    }

    /// Brings back what has changed since.
    ///
    /// # Errors
    /// The kernel, or systemd, does not take something back; the rest is back nevertheless.
    pub(super) fn restore(&self) -> Result<()> {
        let mut outcome = Ok(());
        for (group, settings) in &self.groups {
            outcome = outcome.and(restore(group, self.unit, settings));
        }
        outcome
    }
}

/// The files of `group` that carrying out `resources` may change, with what they hold.
fn settings(group: &Group, resources: &LinuxResources) -> Vec<Setting> {
    let driver = group.driver();
    let mut names: Vec<String> = Vec::new();
    let mut controllers: Vec<_> =
        demands(resources).iter().map(|demand| demand.controller).collect();
    controllers.sort();
    controllers.dedup();
    for controller in controllers.into_iter().filter(|controller| driver.has(*controller)) {
        names.extend(driver.settings(controller).iter().map(|name| (*name).to_owned()));
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        for suffix in ["max", "rsvd.max", "limit_in_bytes", "rsvd.limit_in_bytes"] {
            names.extend(hugetlb::file_name(limit.page_size(), suffix));
        }
    }
    if group.v2().is_some() {
        let keys = resources.unified().iter().flatten().map(|(key, _)| key);
        names.extend(keys.filter(|key| !key.contains('/')).cloned());
    }
    names.sort();
    names.dedup();
    // What cannot be read cannot be brought back; most often this kernel does not have it.
    let held = |name: String| {
        let text = file::try_read(driver.directory(), &name).ok()?;
        Some(Setting { name, text })
    };
    names.into_iter().filter_map(held).collect()
}

fn restore(group: &Group, unit: Option<&Unit>, settings: &[Setting]) -> Result<()> {
    let directory = group.driver().directory();
    let changed = |setting: &&Setting| {
        file::try_read(directory, &setting.name).is_ok_and(|text| text != setting.text)
    };
    let mut left: Vec<Setting> = settings.iter().filter(changed).cloned().collect();
    if left.is_empty() {
        return Ok(());
    }
    let told = unit.map_or(Ok(()), |unit| unit.announce(&left));
    for _ in 0..ROUNDS {
        for setting in &left {
            write_back(directory, setting);
        }
        left.retain(|setting| changed(&setting));
        if left.is_empty() {
            return told;
        }
    }
    let names: Vec<&str> = left.iter().map(|setting| setting.name.as_str()).collect();
    Err(Error::state(format!("{} keep what they were changed to", names.join(", "))))
}

/// Writes what a file held, line by line; a device that it did not name is taken out of it.
fn write_back(directory: &Path, setting: &Setting) {
    let Setting { name, text } = setting;
    let present = file::try_read(directory, name).unwrap_or_default();
    let device =
        |line: &str| line.split(' ').next().filter(|word| word.contains(':')).map(str::to_owned);
    let known: Vec<String> = text.lines().filter_map(device).collect();
    let added = present.lines().filter_map(device).filter(|device| !known.contains(device));
    for device in added {
        let _ = file::try_write(directory, name, &format!("{device} {}", unlimited(name)));
    }
    if text.is_empty() && !present.lines().any(|line| device(line).is_some()) {
        // An empty list, which takes a line to be written.
        let _ = file::try_write(directory, name, "\n");
    }
    for line in text.lines() {
        // Only the first number of this file can be set, and without its name.
        let line = match line.strip_prefix("oom_kill_disable ") {
            Some(number) => number,
            None if name == "memory.oom_control" => continue,
            None => line,
        };
        let _ = file::try_write(directory, name, line);
    }
}

/// What a device without a limit has in the file `name`.
fn unlimited(name: &str) -> &'static str {
    match name {
        "io.max" => "rbps=max wbps=max riops=max wiops=max",
        name if name.contains("weight") => "default",
        _ => "0",
    }
}
