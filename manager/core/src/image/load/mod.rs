//! `load`: the images of an archive come in.
//!
//! An archive is a stream, and what says how its members belong together may be its last: so all
//! members are first written to disk, as blobs to be. Then its manifest is read, in docker's form,
//! OCI's or both, the layers that are not here yet are unpacked, several at once, and everything is
//! recorded in one step. Whatever fails on the way leaves nothing.

mod docker;
mod found;
mod layers;
mod oci;
mod reported;
mod spool;
mod take;
#[cfg(test)]
mod tests;

use std::io::Read;

use tokio::sync::mpsc;

use super::catalog::Catalog;
use super::platform::Platform;
use super::{Loaded, Progress};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use found::Found;
use spool::Spool;

impl Catalog {
    /// Takes in the images of `archive`; of one platform, if that is asked for.
    pub(super) fn load(
        &self,
        archive: impl Read + Send + 'static,
        platform: Option<&Platform>,
        progress: &mpsc::Sender<Progress>,
        given_up: &GivenUp,
    ) -> Result<Vec<Loaded>> {
        let spool = Spool::read(archive, &self.blobs, &self.layers, given_up)?;
        let found = self.find(&spool, platform)?;
        let loaded = self.take(&found, progress, given_up);
        // What a failure leaves, or another image had already, nobody holds now.
        self.collect();
        let loaded = loaded?;
        for image in &loaded {
            self.tell("load", image.id, &image.id.to_string());
        }
        Ok(loaded)
    }

    /// What the archive describes. Docker's manifest says which images there are and how they are
    /// called; OCI's index, which newer dockers write beside it, has their manifests and what is
    /// for other platforms.
    fn find(&self, spool: &Spool, platform: Option<&Platform>) -> Result<Found> {
        let read = |path| spool.get(path).map(|member| member.small(&self.blobs)).transpose();
        let found = match (read("manifest.json")?, read("index.json")?) {
            (Some(manifest), index) => {
                let beside = index.map(|index| oci::find(spool, &self.blobs, &index)).transpose();
                // Whoever reads docker's manifest alone doesn't see what is wrong with the index.
                let beside = beside.unwrap_or_else(|error| {
                    tracing::debug!(%error, "an archive's index.json is of no use");
                    None
                });
                docker::find(spool, &manifest, &self.blobs)?.with_index(beside.unwrap_or_default())
            }
            (None, Some(index)) => oci::find(spool, &self.blobs, &index)?,
            (None, None) => {
                let text = "invalid archive: does not contain a manifest.json";
                return Err(Error::invalid(text));
            }
        };
        match platform {
            Some(platform) => found.only_for(platform),
            None => Ok(found),
        }
    }
}
