//! Giving a new user namespace its ids.

use crate::caller::is_root;
use crate::error::{Context, Error, Kind, Result};
use oci_spec::runtime::LinuxIdMapping;
use std::process::Command;

/// The user and group ids of a user namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct IdMaps {
    /// User ids.
    pub(crate) uids: Vec<LinuxIdMapping>,
    /// Group ids.
    pub(crate) gids: Vec<LinuxIdMapping>,
}

impl IdMaps {
    /// Writes the mappings of the process `pid`, which has just entered its new user namespace.
    ///
    /// The kernel lets root write any mapping, and anyone the mapping of their own id alone. For
    /// more, the set-user-id helpers know what /etc/subuid and /etc/subgid grant.
    pub(crate) fn write(&self, pid: u32) -> Result<()> {
        if is_root() {
            write(pid, "uid_map", &lines(&self.uids))?;
            return write(pid, "gid_map", &lines(&self.gids));
        }
        let own_uid = rustix::process::geteuid().as_raw();
        let own_gid = rustix::process::getegid().as_raw();
        match is_own_id_alone(&self.gids, own_gid) {
            true => {
                write(pid, "setgroups", "deny")?;
                write(pid, "gid_map", &lines(&self.gids))?;
            }
            false => help("newgidmap", pid, &self.gids)?,
        }
        match is_own_id_alone(&self.uids, own_uid) {
            true => write(pid, "uid_map", &lines(&self.uids)),
            false => help("newuidmap", pid, &self.uids),
        }
    }
}

fn is_own_id_alone(map: &[LinuxIdMapping], own: u32) -> bool {
    matches!(map, [only] if only.host_id() == own && only.size() == 1)
}

fn lines(map: &[LinuxIdMapping]) -> String {
    map.iter()
        .map(|one| format!("{} {} {}\n", one.container_id(), one.host_id(), one.size()))
        .collect()
}

fn write(pid: u32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).context(|| format!("write {path}"))
}

fn help(program: &str, pid: u32, map: &[LinuxIdMapping]) -> Result<()> {
    let numbers = map.iter().flat_map(|one| [one.container_id(), one.host_id(), one.size()]);
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .output()
        .context(|| {
            format!(
                "exec {program}, which it takes to map other ids than one's own (package uidmap)"
            )
        })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::new(
            Kind::System,
            format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim_end()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxIdMappingBuilder;

    fn mapping(container: u32, host: u32, size: u32) -> LinuxIdMapping {
        LinuxIdMappingBuilder::default()
            .container_id(container)
            .host_id(host)
            .size(size)
            .build()
            .unwrap()
    }

    #[test]
    fn lines_are_as_the_kernel_reads_them() {
        let map = [mapping(0, 100_000, 65_536), mapping(70_000, 5, 1)];
        assert_eq!(lines(&map), "0 100000 65536\n70000 5 1\n");
    }

    #[test]
    fn one_id_of_ones_own_needs_no_help() {
        assert!(is_own_id_alone(&[mapping(0, 1000, 1)], 1000));
        assert!(!is_own_id_alone(&[mapping(0, 1000, 2)], 1000));
        assert!(!is_own_id_alone(&[mapping(0, 1001, 1)], 1000));
        assert!(!is_own_id_alone(&[], 1000));
    }
}
