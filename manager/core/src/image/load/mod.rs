//! `load`: the images of an archive come in.
//!
//! An archive is a stream, and what says how its members belong together may be its last: so all
//! members are first written to disk, as blobs to be. Then its manifest is read, in docker's form or
//! OCI's, the layers that are not here yet are unpacked, and everything is recorded at once.
//! Whatever fails on the way leaves nothing.

mod docker;
mod oci;
mod spool;
mod take;

#[cfg(test)]
mod tests;

use std::io::Read;

use tokio::sync::mpsc;

use super::catalog::Catalog;
use super::reference::Reference;
use super::{Loaded, Progress};
use crate::error::{Error, Result};
use spool::{Spool, Spooled};

/// An image that the archive describes.
struct Found {
    config: Spooled,
    layers: Vec<Spooled>,
    manifest: Option<Manifest>,
    names: Vec<Reference>,
}

/// The manifest of an image in OCI's form.
struct Manifest {
    blob: Spooled,
    media_type: String,
}

impl Catalog {
    /// Takes in the images of `archive`.
    pub(super) fn load(
        &self,
        archive: impl Read,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>> {
        let spool = Spool::read(archive, &self.blobs)?;
        let found = find(&spool, self)?;
        let loaded = self.take(&found, progress);
        // What a failure leaves, or another image had already, nobody holds now.
        self.collect();
        let loaded = loaded?;
        for image in &loaded {
            self.tell("load", image.id, &image.id.to_string());
        }
        Ok(loaded)
    }
}

/// The images that the archive describes: docker's manifest is preferred, since it has the tags.
fn find(spool: &Spool, catalog: &Catalog) -> Result<Vec<Found>> {
    if let Some(manifest) = spool.get("manifest.json") {
        return docker::find(spool, &manifest.small(&catalog.blobs)?);
    }
    if let Some(index) = spool.get("index.json") {
        return oci::find(spool, &catalog.blobs, &index.small(&catalog.blobs)?);
    }
    Err(Error::invalid("invalid archive: does not contain a manifest.json"))
}
