//! The little that the shim must know of a bundle's config.json.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;

/// Whether the container's processes share a pid namespace with others: then they don't end
/// with the container's init, and have to be killed.
pub(crate) fn shares_pid_namespace(bundle: &Path) -> bool {
    #[derive(Deserialize)]
    struct Config {
        linux: Option<Linux>,
    }
    #[derive(Deserialize)]
    struct Linux {
        #[serde(default)]
        namespaces: Vec<Namespace>,
    }
    #[derive(Deserialize)]
    struct Namespace {
        r#type: String,
        #[serde(default)]
        path: String,
    }
    let Ok(file) = File::open(bundle.join("config.json")) else { return false };
    // A config.json that is broken is the runtime's to complain of.
    let Ok(config) = serde_json::from_reader::<_, Config>(BufReader::new(file)) else {
        return false;
    };
    let namespaces = config.linux.map(|linux| linux.namespaces).unwrap_or_default();
    !namespaces.iter().any(|namespace| namespace.r#type == "pid" && namespace.path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_namespace_of_its_own_is_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let shares = |config: &str| {
            std::fs::write(directory.path().join("config.json"), config).unwrap();
            shares_pid_namespace(directory.path())
        };
        assert!(!shares(r#"{"linux":{"namespaces":[{"type":"mount"},{"type":"pid"}]}}"#));
        assert!(shares(r#"{"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}}"#));
        assert!(shares(r#"{"linux":{"namespaces":[]}}"#));
    }
}
