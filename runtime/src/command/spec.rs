//! `spec`: write a configuration to start from.

use crate::error::{Context, Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// create a new specification file
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// path to the root of the bundle directory
    #[arg(long, short)]
    bundle: Option<PathBuf>,
    /// generate a configuration for a rootless container
    #[arg(long)]
    rootless: bool,
}

/// The configuration for root.
const TEMPLATE: &str = include_str!("spec.json");

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut spec = template()?;
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        add_namespace(&mut spec, "cgroup");
    }
    if arguments.rootless {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        make_rootless(&mut spec, uid, gid);
    }
    let path = arguments.bundle.as_deref().unwrap_or(Path::new("")).join("config.json");
    if path.exists() {
        return Err(Error::invalid("File config.json exists. Remove it first"));
    }
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&spec, &mut serializer)
        .map_err(std::io::Error::from)
        .context(|| "write JSON")?;
    std::fs::write(&path, text).context(|| format!("write {}", path.display()))
}

fn template() -> Result<Value> {
    serde_json::from_str(TEMPLATE).map_err(|error| Error::invalid(format!("template: {error}")))
}

fn add_namespace(spec: &mut Value, typ: &str) {
    if let Some(list) = spec.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut) {
        list.push(json!({ "type": typ }));
    }
}

/// Takes out what needs root, and maps the caller's ids to root's inside.
fn make_rootless(spec: &mut Value, uid: u32, gid: u32) {
    if let Some(list) = spec.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut) {
        list.retain(|namespace| namespace["type"] != "network");
    }
    add_namespace(spec, "user");
    if let Some(linux) = spec.pointer_mut("/linux").and_then(Value::as_object_mut) {
        let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        linux.insert("uidMappings".to_owned(), map(uid));
        linux.insert("gidMappings".to_owned(), map(gid));
        linux.remove("resources");
    }
    let Some(mounts) = spec.pointer_mut("/mounts").and_then(Value::as_array_mut) else { return };
    for mount in mounts.iter_mut() {
        if mount["destination"] == "/sys" {
            *mount = json!({
                "destination": "/sys",
                "type": "none",
                "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]
            });
        } else if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|option| {
                let option = option.as_str().unwrap_or_default();
                !option.starts_with("gid=") && !option.starts_with("uid=")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Spec;

    #[test]
    fn both_configurations_are_valid() {
        let mut value = template().unwrap();
        let spec: Spec = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(spec.process().as_ref().unwrap().terminal(), Some(true));
        make_rootless(&mut value, 1000, 100);
        let spec: Spec = serde_json::from_value(value).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(linux.uid_mappings().as_ref().unwrap()[0].host_id(), 1000);
        assert!(linux.resources().is_none());
    }
}
