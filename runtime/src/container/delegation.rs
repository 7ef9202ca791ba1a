//! Whether a container rules the cgroups inside its own.

use std::path::{Component, Path};

use nix::sched::CloneFlags;
use oci_spec::runtime::{Linux, Mount, Spec};

use crate::init::namespaces::Namespaces;

/// The user on the host whom the container's cgroup is given to: the one that its program runs as,
/// if it has a cgroup namespace of its own and the cgroups mounted there to write to.
pub(super) fn owner(spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Option<u32> {
    if !namespaces.new.contains(CloneFlags::CLONE_NEWCGROUP) {
        return None;
    }
    if !spec.mounts().iter().flatten().any(is_cgroup_to_write_to) {
        return None;
    }
    let uid = spec.process().as_ref().map_or(0, |process| process.user().uid());
    if !namespaces.all().contains(CloneFlags::CLONE_NEWUSER) {
        return Some(uid);
    }
    linux.uid_mappings().iter().flatten().find_map(|mapping| {
        let offset = uid.checked_sub(mapping.container_id())?;
        (offset < mapping.size()).then(|| mapping.host_id().checked_add(offset))?
    })
}

fn is_cgroup_to_write_to(mount: &Mount) -> bool {
    let is_cgroup = matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"));
    let place = mount.destination().components().filter(|part| *part != Component::CurDir);
    let options = mount.options().iter().flatten();
    let access = options.rev().find(|option| matches!(option.as_str(), "ro" | "rw" | "rro"));
    is_cgroup
        && place.eq(Path::new("/sys/fs/cgroup").components())
        && access.is_none_or(|access| access == "rw")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The owner of a container with these namespaces, options of the cgroup mount and process.
    fn owner_of(new: CloneFlags, options: &[&str], uid: u32) -> Option<u32> {
        let spec: Spec = serde_json::from_value(json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": uid, "gid": 0}, "args": ["true"], "cwd": "/"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/sys/fs/cgroup/", "type": "cgroup", "options": options},
            ],
            "linux": {"uidMappings": [{"containerID": 0, "hostID": 100_000, "size": 10}]},
        }))
        .unwrap();
        let namespaces = Namespaces { new, existing: Vec::new() };
        owner(&spec, spec.linux().as_ref().unwrap(), &namespaces)
    }

    #[test]
    fn who_has_a_namespace_and_a_mount_to_write_to_is_given_the_cgroup() {
        let own = CloneFlags::CLONE_NEWCGROUP;
        let both = own | CloneFlags::CLONE_NEWUSER;
        assert_eq!(owner_of(own, &["nosuid", "rw"], 7), Some(7));
        assert_eq!(owner_of(both, &["nosuid"], 7), Some(100_007));
        assert_eq!(owner_of(both, &["rw"], 10), None, "a user that is not mapped");
        assert_eq!(owner_of(both, &["rw", "ro"], 0), None, "only to be read");
        assert_eq!(owner_of(CloneFlags::CLONE_NEWUSER, &["rw"], 0), None, "the host's namespace");
    }
}
