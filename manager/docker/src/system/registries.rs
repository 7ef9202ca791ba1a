//! What `docker info` tells about registries and the way to them.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::registry::RegistrySettings;

use crate::version::ApiVersion;
use crate::wire::null_if_empty;

/// The first version that tells no more of layers that are kept back.
const KEPT_BACK_UNTIL: ApiVersion = ApiVersion::new(1, 47);

/// Registries that are special.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegistryConfig {
    #[serde(rename = "InsecureRegistryCIDRs")]
    insecure_registry_cidrs: Vec<String>,
    index_configs: BTreeMap<String, IndexConfig>,
    #[serde(serialize_with = "null_if_empty")]
    mirrors: Vec<String>,
    /// Until 1.46, and never anything.
    #[serde(flatten)]
    kept_back: Option<KeptBack>,
}

/// Registries that get layers which others don't.
#[derive(Serialize, Default)]
struct KeptBack {
    #[serde(rename = "AllowNondistributableArtifactsCIDRs")]
    networks: Option<()>,
    #[serde(rename = "AllowNondistributableArtifactsHostnames")]
    hosts: Option<()>,
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
    pub(super) fn of(settings: &RegistrySettings, version: ApiVersion) -> Self {
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
        let kept_back = (version < KEPT_BACK_UNTIL).then(KeptBack::default);
        Self { insecure_registry_cidrs, index_configs, mirrors, kept_back }
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
