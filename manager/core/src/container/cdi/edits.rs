//! What the devices of a container change of its spec.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::file::{DeviceNode, Edits, Mount, NamedHook};
use crate::container::spec::document::{self, Device, DeviceKind, DeviceRule, Hook, Hooks, Spec};
use crate::container::spec::environment;
use crate::error::{Error, Result};

/// What may be done with a device of which nothing is said.
const ALL_ACCESS: &str = "rwm";

/// The edits of all devices, in order.
#[derive(Debug, Default)]
pub(super) struct Combined {
    edits: Vec<Edits>,
}

impl Combined {
    pub(super) fn extend(&mut self, more: Option<Edits>) {
        self.edits.extend(more);
    }

    /// Makes them.
    pub(super) fn apply(self, spec: &mut Spec) -> Result<()> {
        for edits in self.edits {
            apply(edits, spec).map_err(|error| error.while_doing("CDI device injection failed"))?;
        }
        // What lies above is mounted first, or it would hide what lies below.
        spec.mounts.sort_by_key(|mount| mount.destination.matches('/').count());
        Ok(())
    }
}

fn apply(edits: Edits, spec: &mut Spec) -> Result<()> {
    if !edits.net_devices.is_empty() {
        return Err(Error::unsupported("netDevices of a CDI device"));
    }
    if edits.intel_rdt.is_some() {
        return Err(Error::unsupported("intelRdt of a CDI device"));
    }
    let env = std::mem::take(&mut spec.process.env);
    spec.process.env = environment::merge(env, &edits.env);
    for node in &edits.device_nodes {
        add_node(node, spec)?;
    }
    for mount in edits.mounts {
        spec.mounts.retain(|other| other.destination != mount.container_path);
        spec.mounts.push(mount.into());
    }
    for hook in edits.hooks {
        add_hook(hook, &mut spec.hooks)?;
    }
    spec.process.user.additional_gids.extend(edits.additional_gids);
    Ok(())
}

/// A device; what isn't said of it is as the host has it.
fn add_node(wanted: &DeviceNode, spec: &mut Spec) -> Result<()> {
    let host = if wanted.host_path.is_empty() { &wanted.path } else { &wanted.host_path };
    let found = fs::metadata(host)
        .map_err(|error| Error::io(format!("failed to stat CDI host device {host:?}"), error))?;
    let kind = match wanted.kind.as_str() {
        "b" => DeviceKind::Block,
        "c" | "u" => DeviceKind::Character,
        "" if found.file_type().is_block_device() => DeviceKind::Block,
        "" if found.file_type().is_char_device() => DeviceKind::Character,
        _ => return Err(Error::invalid(format!("CDI host device {host:?} is no device node"))),
    };
    // A container of another user's gets devices that this user can use.
    let own = |id: u32| Some(id).filter(|id| *id > 0);
    let user = &spec.process.user;
    let node = Device {
        path: wanted.path.clone(),
        kind,
        major: wanted.major.unwrap_or_else(|| rustix::fs::major(found.rdev())),
        minor: wanted.minor.unwrap_or_else(|| rustix::fs::minor(found.rdev())),
        file_mode: wanted.file_mode.unwrap_or_else(|| found.mode() & 0o7777),
        uid: wanted.uid.or(own(user.uid)).unwrap_or_else(|| found.uid()),
        gid: wanted.gid.or(own(user.gid)).unwrap_or_else(|| found.gid()),
    };
    let access = if wanted.permissions.is_empty() { ALL_ACCESS } else { &wanted.permissions };
    spec.linux.resources.devices.push(DeviceRule {
        allow: true,
        kind: Some(kind),
        major: Some(node.major),
        minor: Some(node.minor),
        access: access.to_owned(),
    });
    spec.linux.devices.retain(|other| other.path != node.path);
    spec.linux.devices.push(node);
    Ok(())
}

fn add_hook(hook: NamedHook, hooks: &mut Hooks) -> Result<()> {
    let list = match hook.hook_name.as_str() {
        "prestart" => &mut hooks.prestart,
        "createRuntime" => &mut hooks.create_runtime,
        "createContainer" => &mut hooks.create_container,
        "startContainer" => &mut hooks.start_container,
        "poststart" => &mut hooks.poststart,
        "poststop" => &mut hooks.poststop,
        other => return Err(Error::invalid(format!("unknown hook name {other:?}"))),
    };
    let NamedHook { path, args, env, timeout, .. } = hook;
    list.push(Hook { path, args, env, timeout });
    Ok(())
}

impl From<Mount> for document::Mount {
    fn from(mount: Mount) -> Self {
        let kind = if mount.kind.is_empty() { "bind".to_owned() } else { mount.kind };
        Self {
            destination: mount.container_path,
            kind,
            source: mount.host_path,
            options: mount.options,
        }
    }
}
