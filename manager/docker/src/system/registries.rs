//! What `docker info` tells about registries and the way to them.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::registry::RegistrySettings;

/// Registries that are special.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegistryConfig {
    #[serde(rename = "InsecureRegistryCIDRs")]
    insecure_registry_cidrs: Vec<String>,
    index_configs: BTreeMap<String, IndexConfig>,
    mirrors: Vec<String>,
}

/// What is known about one registry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IndexConfig {
    name: String,
    mirrors: Vec<String>,
    secure: bool,
    official: bool,
}

impl RegistryConfig {
    /// What the settings say.
    pub(super) fn of(settings: &RegistrySettings) -> Self {
        let mirrors = settings.mirrors.of_the_hub();
        let hub = IndexConfig {
            name: "docker.io".to_owned(),
            mirrors: mirrors.clone(),
            secure: true,
            official: true,
        };
        let insecure = settings.insecure.hosts().iter().map(|host| IndexConfig {
            name: host.clone(),
            mirrors: Vec::new(),
            secure: false,
            official: false,
        });
        let index_configs =
            insecure.chain([hub]).map(|index| (index.name.clone(), index)).collect();
        let insecure_registry_cidrs = settings.insecure.networks();
        Self { insecure_registry_cidrs, index_configs, mirrors }
    }
}

/// A proxy's address as it may be shown: without its password.
pub(super) fn without_password(address: Option<&str>) -> String {
    let address = address.unwrap_or_default();
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("xxxxx:xxxxx@{host}"),
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_not_shown() {
        let shown = |address| without_password(Some(address));
        assert_eq!(shown("http://u:p@h:1"), "http://xxxxx:xxxxx@h:1");
        assert_eq!(shown("http://h:1"), "http://h:1");
        assert_eq!(without_password(None), "");
    }
}
