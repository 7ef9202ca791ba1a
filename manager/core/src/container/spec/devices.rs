//! Which devices a container has, and what it may do with which.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::document::{Device, DeviceKind, DeviceRule};
use crate::container::resources::DeviceMapping;
use crate::error::{Error, Result};

/// Everything that can be done with a device: read, write, make its node.
const ALL_ACCESS: &str = "rwm";

/// Character devices that every container may use: null, zero, full, random, urandom, tty and
/// console. The runtime makes their nodes.
const HARMLESS: [(u32, u32); 6] = [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)];
/// The device of user space file systems, which is refused even where a later default allows it.
const FUSE: (u32, u32) = (10, 229);

/// Where the host has its devices.
const HOST_DEVICES: &str = "/dev";

/// A container's device nodes and rules.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Devices {
    pub(crate) nodes: Vec<Device>,
    pub(crate) rules: Vec<DeviceRule>,
}

impl Devices {
    /// What an ordinary container has: the harmless ones, and what its user gave it.
    ///
    /// # Errors
    /// Invalid if a device isn't there or a rule is none.
    pub(crate) fn ordinary(mappings: &[DeviceMapping], rules: &[String]) -> Result<Self> {
        let mut devices = Self { nodes: Vec::new(), rules: default_rules() };
        for mapping in mappings {
            for node in nodes_of(mapping)? {
                devices.rules.push(rule_for(&node, &mapping.permissions));
                devices.nodes.push(node);
            }
        }
        for rule in rules {
            devices.rules.push(parse_rule(rule)?);
        }
        Ok(devices)
    }

    /// What a privileged container has: every device of the host, under its own name.
    pub(crate) fn privileged(mappings: &[DeviceMapping]) -> Result<Self> {
        let mut nodes = Vec::new();
        collect(Path::new(HOST_DEVICES), HOST_DEVICES, HOST_DEVICES, &mut nodes);
        for mapping in mappings.iter().filter(|mapping| mapping.host_path != mapping.container_path)
        {
            nodes.extend(nodes_of(mapping)?);
        }
        let all = DeviceRule {
            allow: true,
            kind: None,
            major: None,
            minor: None,
            access: ALL_ACCESS.to_owned(),
        };
        Ok(Self { nodes, rules: vec![all] })
    }
}

/// Reads `c 1:3 rwm`, `a *:* r`.
pub(crate) fn parse_rule(text: &str) -> Result<DeviceRule> {
    let wrong = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let kind = match kind {
        "a" => DeviceKind::Any,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Character,
        _ => return Err(wrong()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    };
    check_access(access).map_err(|_| wrong())?;
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind),
        major: number(major)?,
        minor: number(minor)?,
        access: access.to_owned(),
    })
}

/// Whether `access` is one to three different letters of `rwm`.
pub(crate) fn check_access(access: &str) -> Result<()> {
    let mut seen = String::new();
    let legal = !access.is_empty()
        && access.chars().all(|letter| {
            let fresh = ALL_ACCESS.contains(letter) && !seen.contains(letter);
            seen.push(letter);
            fresh
        });
    if legal { Ok(()) } else { Err(Error::invalid(format!("invalid device mode: {access}"))) }
}

fn default_rules() -> Vec<DeviceRule> {
    let character = |allow, (major, minor)| DeviceRule {
        allow,
        kind: Some(DeviceKind::Character),
        major: Some(major),
        minor: Some(minor),
        access: ALL_ACCESS.to_owned(),
    };
    let nothing = DeviceRule {
        allow: false,
        kind: None,
        major: None,
        minor: None,
        access: ALL_ACCESS.to_owned(),
    };
    let mut rules = vec![nothing];
    rules.extend(HARMLESS.map(|numbers| character(true, numbers)));
    rules.push(character(false, FUSE));
    rules
}

/// The device that a mapping names, or all in the directory that it names.
fn nodes_of(mapping: &DeviceMapping) -> Result<Vec<Device>> {
    let failed = |what: String| {
        Error::invalid(format!(
            "error gathering device information while adding custom device \"{}\": {what}",
            mapping.host_path
        ))
    };
    let path = Path::new(&mapping.host_path);
    let resolved = fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("no such file or directory".to_owned()),
        _ => failed(error.to_string()),
    })?;
    if let Some(node) = node(&resolved, &mapping.container_path) {
        return Ok(vec![node]);
    }
    let mut nodes = Vec::new();
    if let Some(from) = resolved.to_str() {
        collect(&resolved, from, &mapping.container_path, &mut nodes);
    }
    if nodes.is_empty() { Err(failed("not a device node".to_owned())) } else { Ok(nodes) }
}

/// Adds every device below `directory`, its path with `from` replaced by `to`. What can't be read
/// is left out: devices come and go.
fn collect(directory: &Path, from: &str, to: &str, nodes: &mut Vec<Device>) {
    // These are made anew for each container, or are no devices of the host's.
    const OWN: [&str; 6] = ["pts", "shm", "fd", "mqueue", "console", "ptmx"];
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_str().is_some_and(|name| OWN.contains(&name)) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            collect(&path, from, to, nodes);
        } else if let Some(below) = path.to_str().and_then(|path| path.strip_prefix(from)) {
            nodes.extend(node(&path, &format!("{to}{below}")));
        }
    }
}

fn node(host: &Path, inside: &str) -> Option<Device> {
    // Not through a symbolic link: in a directory of devices, a link is no device of its own.
    let facts = fs::symlink_metadata(host).ok()?;
    let kind = if facts.file_type().is_char_device() {
        DeviceKind::Character
    } else if facts.file_type().is_block_device() {
        DeviceKind::Block
    } else {
        return None;
    };
    let device = facts.rdev();
    Some(Device {
        path: inside.to_owned(),
        kind,
        major: rustix::fs::major(device),
        minor: rustix::fs::minor(device),
        file_mode: facts.mode() & 0o7777,
        uid: facts.uid(),
        gid: facts.gid(),
    })
}

fn rule_for(node: &Device, access: &str) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: Some(node.kind),
        major: Some(node.major),
        minor: Some(node.minor),
        access: access.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host: &str) -> DeviceMapping {
        DeviceMapping {
            host_path: host.to_owned(),
            container_path: "/dev/x".to_owned(),
            permissions: "rw".to_owned(),
        }
    }

    #[test]
    fn a_device_gets_its_node_and_its_rule() {
        let devices = Devices::ordinary(&[mapping("/dev/null")], &[]).unwrap();
        let node = devices.nodes.first().unwrap();
        assert_eq!((node.path.as_str(), node.major, node.minor), ("/dev/x", 1, 3));
        assert_eq!(devices.rules.last().unwrap().access, "rw");
        assert!(!devices.rules.first().unwrap().allow);
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for path in ["/dev/does-not-exist", "/etc/passwd", "/proc/sys"] {
            let error = Devices::ordinary(&[mapping(path)], &[]).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }

    #[test]
    fn rules_are_read_as_the_kernel_writes_them() {
        let rule = parse_rule("c 1:* rw").unwrap();
        assert_eq!(
            (rule.kind, rule.major, rule.minor),
            (Some(DeviceKind::Character), Some(1), None)
        );
        for text in ["", "c 1:3", "d 1:3 rwm", "c 1 rwm", "c 1:3 rwx", "c 1:3 rr", "c 1:3 r w"] {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_privileged_container_has_the_hosts_devices() {
        let devices = Devices::privileged(&[]).unwrap();
        assert!(devices.nodes.iter().any(|node| node.path == "/dev/null"));
        assert_eq!(devices.rules.len(), 1);
    }
}
