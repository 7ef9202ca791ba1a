//! The little that the shim must know of a bundle's config.json.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

/// The parts of an OCI runtime spec that matter here. One that can't be read is the runtime's to
/// complain of; here it is as good as empty.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Spec {
    linux: Option<Linux>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// Annotations that name what a container's shim is shared with: containerd's own, and the pod that
/// Kubernetes' runtime interface puts it in.
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

#[derive(Debug, Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<Namespace>,
    #[serde(default, rename = "cgroupsPath")]
    cgroups_path: String,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    r#type: String,
    #[serde(default)]
    path: String,
}

impl Spec {
    /// Reads the config.json of `bundle`.
    pub(crate) fn read(bundle: &Path) -> Self {
        let text = std::fs::read(bundle.join("config.json")).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Whether the container's processes share a pid namespace with others: then they don't end
    /// with the container's init, and have to be killed.
    pub(crate) fn shares_pid_namespace(&self) -> bool {
        self.linux.as_ref().is_some_and(|linux| {
            let own =
                |namespace: &Namespace| namespace.r#type == "pid" && namespace.path.is_empty();
            !linux.namespaces.iter().any(own)
        })
    }

    /// The name of the group of containers that have one shim, if this one is in any.
    pub(crate) fn group(&self) -> Option<&str> {
        let group = GROUPS.iter().find_map(|name| self.annotations.get(*name));
        group.map(String::as_str).filter(|group| !group.is_empty())
    }

    /// The container's cgroup below each hierarchy's root, where it is a path (and not in the words
    /// of systemd).
    pub(crate) fn cgroup(&self) -> Option<&str> {
        let path = &self.linux.as_ref()?.cgroups_path;
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        path.strip_prefix('/').filter(|path| path.split('/').all(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(config: &str) -> Spec {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        Spec::read(directory.path())
    }

    #[test]
    fn only_a_namespace_of_its_own_is_its_own() {
        let shares = |config| spec(config).shares_pid_namespace();
        assert!(!shares(r#"{"linux":{"namespaces":[{"type":"mount"},{"type":"pid"}]}}"#));
        assert!(shares(r#"{"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}}"#));
        assert!(shares(r#"{"linux":{"namespaces":[]}}"#));
        assert!(!shares("broken"));
    }

    #[test]
    fn a_pod_is_a_group() {
        let group = |config| spec(config).group().map(str::to_owned);
        let pod = r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","x":"y"}}"#;
        assert_eq!(group(pod).as_deref(), Some("pod"));
        assert_eq!(group(r#"{"annotations":{"io.containerd.runc.v2.group":""}}"#), None);
        assert_eq!(group("{}"), None);
    }

    #[test]
    fn only_a_plain_path_is_a_cgroup() {
        let cgroup = |path: &str| {
            spec(&serde_json::json!({"linux": {"cgroupsPath": path}}).to_string())
                .cgroup()
                .map(str::to_owned)
        };
        assert_eq!(cgroup("/tare/web").as_deref(), Some("tare/web"));
        for other in ["", "/", "relative", "/a/../b", "/a//b", "system.slice:tare:web"] {
            assert_eq!(cgroup(other), None, "{other:?}");
        }
    }
}
