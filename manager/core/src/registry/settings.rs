//! How registries are reached.

use std::path::PathBuf;

use super::insecure::Insecure;
use super::mirrors::Mirrors;
use super::patience::Patience;
use super::proxies::Proxies;

/// What a manager is told about registries.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Other places to get images from, by registry.
    pub mirrors: Mirrors,
    /// Registries that need not prove who they are.
    pub insecure: Insecure,
    /// Proxies on the way.
    pub proxies: Proxies,
    /// Certificates by registry: `HOST[:PORT]/*.crt` are authorities, `*.cert` with `*.key` prove
    /// who we are.
    pub certificates: PathBuf,
    /// Layers that are fetched at the same time.
    pub downloads: usize,
    /// Layers that are sent at the same time.
    pub uploads: usize,
    /// How long and how often something is tried.
    pub patience: Patience,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            mirrors: Mirrors::default(),
            insecure: Insecure::default(),
            proxies: Proxies::default(),
            certificates: PathBuf::from("/etc/docker/certs.d"),
            downloads: 3,
            uploads: 5,
            patience: Patience::default(),
        }
    }
}
