//! What a name stands for in its registry, without pulling it.

use std::sync::Arc;

use serde::Deserialize;

use super::Registries;
use super::blob::Wanted;
use super::credentials::Credentials;
use super::failure::Failure;
use super::manifest::Manifest;
use super::token::Access;
use crate::error::Result;
use crate::image::{Digest, Reference};

/// The longest configuration that is read.
const LONGEST_CONFIG: u64 = 16 << 20;

/// A manifest in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its media type.
    pub media_type: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// What it has images for.
    pub platforms: Vec<DescribedPlatform>,
}

/// A platform in a registry's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DescribedPlatform {
    /// The processor.
    pub architecture: String,
    /// The operating system.
    pub os: String,
    /// Its version; empty: any.
    #[serde(rename = "os.version")]
    pub os_version: String,
    /// The variant of the processor; empty: any.
    pub variant: String,
}

impl Registries {
    /// Asks a registry what `name` stands for.
    ///
    /// # Errors
    /// As those of a pull.
    pub async fn describe(
        self: &Arc<Self>,
        name: &Reference,
        credentials: Credentials,
    ) -> Result<Described> {
        let session = self.session(name, Access::Pull, credentials).await?;
        let described = async {
            let received = session.manifest(name).await?;
            let platforms = match &received.manifest {
                Manifest::Index(index) => {
                    let platforms =
                        index.manifests().iter().filter_map(|one| one.platform().as_ref());
                    let platforms = platforms.map(|platform| DescribedPlatform {
                        architecture: platform.architecture().to_string(),
                        os: platform.os().to_string(),
                        os_version: platform.os_version().clone().unwrap_or_default(),
                        variant: platform.variant().clone().unwrap_or_default(),
                    });
                    platforms.collect()
                }
                Manifest::Image(image) => {
                    let config = image.config();
                    let digest = config.digest().to_string().parse()?;
                    let blob = Wanted { digest, size: config.size() };
                    let content = session.small_blob(blob, LONGEST_CONFIG).await?;
                    let platform = serde_json::from_slice::<DescribedPlatform>(&content).ok();
                    let known =
                        platform.filter(|one| !(one.os.is_empty() && one.architecture.is_empty()));
                    known.into_iter().collect()
                }
            };
            Ok::<_, Failure>(Described {
                media_type: received.kind.media_type(),
                digest: received.digest,
                size: received.content.len() as u64,
                platforms,
            })
        };
        described.await.map_err(|failure| failure.of_pull(name))
    }
}
