//! What a plain user's bundle must have and must not ask for.

use crate::error::{Error, Result};
use crate::init::namespaces::Namespaces;
use nix::sched::CloneFlags;
use oci_spec::runtime::{Linux, LinuxIdMapping, Spec};

/// Refuses a bundle that needs root.
///
/// # Errors
/// No user namespace, no mappings for a new one, or a mount that names an id which is not mapped.
pub(super) fn check(spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    if !namespaces.all().contains(CloneFlags::CLONE_NEWUSER) {
        return Err(Error::invalid("rootless container requires user namespaces"));
    }
    if namespaces.existing(CloneFlags::CLONE_NEWUSER).is_some() {
        return Ok(());
    }
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    if uids.is_empty() {
        return Err(Error::invalid("rootless containers requires at least one UID mapping"));
    }
    if gids.is_empty() {
        return Err(Error::invalid("rootless containers requires at least one GID mapping"));
    }
    let options = spec.mounts().iter().flatten().flat_map(|mount| mount.options().iter().flatten());
    options.into_iter().try_for_each(|option| {
        check_id(option, "uid=", uids)?;
        check_id(option, "gid=", gids)
    })
}

/// Refuses a mount option such as `gid=5` whose id `map` does not have: the kernel says no more
/// than that the option is wrong.
fn check_id(option: &str, prefix: &str, map: &[LinuxIdMapping]) -> Result<()> {
    // What is no number is left to the file system to judge.
    let Some(id) = option.strip_prefix(prefix).and_then(|id| id.parse::<u32>().ok()) else {
        return Ok(());
    };
    let is_mapped = map.iter().any(|range| {
        id.checked_sub(range.container_id()).is_some_and(|offset| offset < range.size())
    });
    match is_mapped {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "cannot specify {option} mount option for rootless container: user namespaces enabled, \
             but no mapping found for {} {id}",
            prefix.trim_end_matches('='),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(linux: serde_json::Value, options: &[&str]) -> Option<String> {
        let spec = json!({
            "ociVersion": "1.0.2",
            "mounts": [{ "destination": "/dev/pts", "type": "devpts", "options": options }],
            "linux": linux,
        });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        let namespaces = Namespaces::plan(linux.namespaces().as_deref().unwrap()).unwrap();
        check(&spec, linux, &namespaces).err().map(|error| error.to_string())
    }

    #[test]
    fn ids_have_to_be_mapped() {
        let map = json!([{ "containerID": 0, "hostID": 1000, "size": 5 }]);
        let own = json!({
            "namespaces": [{ "type": "user" }], "uidMappings": map, "gidMappings": map,
        });
        for fine in [&["gid=4"][..], &["uid=0", "mode=620"], &["gid=x"], &["newinstance"]] {
            assert_eq!(refusal(own.clone(), fine), None, "{fine:?}");
        }
        for unmapped in ["gid=5", "uid=5", "gid=4294967295"] {
            let said = refusal(own.clone(), &[unmapped]).unwrap();
            let expected = format!("cannot specify {unmapped} mount option for rootless container");
            assert!(said.starts_with(&expected), "{said}");
        }
        let joined = json!({ "namespaces": [{ "type": "user", "path": "/proc/self/ns/user" }] });
        assert_eq!(refusal(joined, &["gid=5"]), None, "whose ids are known to the kernel alone");
    }

    #[test]
    fn a_user_namespace_with_mappings_is_needed() {
        let map = json!([{ "containerID": 0, "hostID": 1000, "size": 5 }]);
        let none = json!({ "namespaces": [{ "type": "mount" }] });
        let uids = json!({ "namespaces": [{ "type": "user" }], "uidMappings": map });
        let gids = json!({ "namespaces": [{ "type": "user" }], "gidMappings": map });
        for (linux, expected) in [
            (none, "rootless container requires user namespaces"),
            (uids, "rootless containers requires at least one GID mapping"),
            (gids, "rootless containers requires at least one UID mapping"),
        ] {
            assert_eq!(refusal(linux, &[]).as_deref(), Some(expected));
        }
    }
}
