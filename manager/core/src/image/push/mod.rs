//! `push`: an image goes to a registry.
//!
//! What goes is what came: an image that was pulled goes with its manifest and the very blobs that
//! it came with. One that was made here gets a manifest first, and its layers are compressed; both
//! are kept, so that it has one digest wherever and however often it is pushed. Of the layers, only
//! those are sent that the registry does not have.

mod prepare;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::interval;

use super::digest::{DiffId, Digest, ImageId};
use super::image::{Blob, Layer};
use super::record::ImageRecord;
use super::reference::Reference;
use super::{Images, blocking_with};
use crate::error::{Error, Kind, Result};
use crate::registry::{Access, Credentials, Failure, ManifestKind, Session, Upload, Wanted};

/// How often it is told how far a layer is.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Other repositories that a layer is looked for in.
const MOST_SOURCES: usize = 3;

/// What is to be pushed.
#[derive(Debug, Clone)]
pub struct Push {
    /// The name with its tag; without one: every tag of the repository.
    pub name: Reference,
    /// What may be shown to the registry.
    pub credentials: Credentials,
}

/// Something that happened in a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushStep {
    /// It begins.
    Begun {
        /// The whole name of the repository.
        repository: String,
    },
    /// Something happened to a layer.
    Layer {
        /// The layer.
        layer: DiffId,
        /// What.
        step: PushedLayer,
    },
    /// The registry has the manifest under this tag.
    Done {
        /// The tag.
        tag: String,
        /// The manifest's digest.
        digest: Digest,
        /// The manifest's bytes.
        size: u64,
    },
}

/// Something that happened to a layer that is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushedLayer {
    /// It is got ready.
    Preparing,
    /// Others come first.
    Waiting,
    /// It is being sent.
    Pushing {
        /// Bytes that are sent.
        current: u64,
        /// All its bytes.
        total: u64,
    },
    /// The registry has it now.
    Pushed,
    /// The registry had it.
    Known,
    /// The registry had it in this other repository.
    Mounted(String),
}

impl Images {
    /// Sends images to a registry, and tells `steps` how it goes.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for what is not here, [`crate::Kind::Forbidden`] and
    /// [`crate::Kind::Unauthorized`] for what the registry does not allow,
    /// [`crate::Kind::System`] for a registry that cannot be reached.
    pub async fn push(&self, request: Push, steps: mpsc::Sender<PushStep>) -> Result<()> {
        let name = &request.name;
        if name.digest().is_some() {
            return Err(Error::invalid("cannot push a digest reference"));
        }
        let repository = format!("{}/{}", name.registry(), name.repository());
        tell(&steps, PushStep::Begun { repository }).await?;
        let chosen = self.chosen(name)?;
        let session = self.registries.session(name, Access::Push, request.credentials).await?;
        let permits = Semaphore::new(self.registries.uploads());
        let work = Work { images: self, session, permits, steps };
        for (name, id) in chosen {
            work.one(&name, id).await?;
        }
        self.catalog.tell_of(name, "push");
        Ok(())
    }

    /// The tags that are to be pushed.
    fn chosen(&self, name: &Reference) -> Result<Vec<(Reference, ImageId)>> {
        let index = self.catalog.read();
        let all = index.of_repository(name);
        if all.is_empty() {
            let name = name.familiar_name();
            return Err(Error::not_found(format!(
                "An image does not exist locally with the tag: {name}"
            )));
        }
        let wanted = |found: &Reference| match name.tag() {
            Some(tag) => found.tag() == Some(tag),
            None => found.tag().is_some(),
        };
        let chosen: Vec<_> = all.into_iter().filter(|(found, _)| wanted(found)).collect();
        match (chosen.is_empty(), name.tag()) {
            (false, _) => Ok(chosen),
            (true, Some(_)) => {
                let name = name.familiar();
                Err(Error::not_found(format!("tag does not exist: {name}")))
            }
            (true, None) => {
                let name = name.familiar_name();
                Err(Error::not_found(format!("no tags to push for {name}")))
            }
        }
    }
}

/// One push.
struct Work<'a> {
    images: &'a Images,
    session: Session,
    permits: Semaphore,
    steps: mpsc::Sender<PushStep>,
}

impl Work<'_> {
    async fn one(&self, name: &Reference, id: ImageId) -> Result<()> {
        for layer in self.layers(id)?.iter().rev() {
            self.tell_of(layer, PushedLayer::Preparing).await?;
        }
        let catalog = &self.images.catalog;
        let prepared = blocking_with(catalog, move |catalog| catalog.prepare_push(id)).await?;
        // What the image has no more, since it is compressed now.
        self.images.blocking(|catalog| Ok(catalog.collect())).await?;
        let record = &prepared.record;
        let sending = record.layers.iter().map(|layer| self.layer(layer));
        try_join_all(sending).await?;
        let small = async |blob: &Blob| -> Result<Bytes> {
            let digest = blob.digest;
            let content = blocking_with(catalog, move |catalog| catalog.blobs.content(digest));
            Ok(content.await?.into())
        };
        let config = small(&record.config).await?;
        self.session.push_small_blob(config).await.map_err(Failure::of_push)?;
        let content = small(&prepared.manifest).await?;
        let Blob { digest, size, .. } = prepared.manifest;
        let tag = name.tag().unwrap_or_default();
        let put = self.session.put_manifest(tag, prepared.kind, content).await;
        put.map_err(Failure::of_push)?;
        // Should it be removed meanwhile, it needs no name.
        let known_by = [name.clone().with_digest(digest)];
        let named = blocking_with(catalog, move |catalog| catalog.give_names(id, &known_by)).await;
        if let Err(error) = named
            && error.kind() != Kind::NotFound
        {
            return Err(error);
        }
        self.tell(PushStep::Done { tag: tag.to_owned(), digest, size }).await
    }

    fn layers(&self, id: ImageId) -> Result<Vec<Layer>> {
        let index = self.images.catalog.read();
        let image = index.image(id).map(|image| image.record.layers.clone());
        image.ok_or_else(|| Error::not_found(format!("No such image: {id}")))
    }

    async fn layer(&self, layer: &Layer) -> Result<()> {
        if self.permits.available_permits() == 0 {
            self.tell_of(layer, PushedLayer::Waiting).await?;
        }
        let closed = |_| Error::system("uploads have ended");
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let Blob { digest, size: total, .. } = layer.blob;
        let elsewhere = self.elsewhere(digest);
        let path = self.images.catalog.blobs.path(digest);
        let sent = Arc::new(AtomicU64::new(0));
        let blob = Wanted { digest, size: total };
        let pushing = self.session.push_blob(blob, &elsewhere, &path, &sent);
        tokio::pin!(pushing);
        let mut ticks = interval(TELL_EVERY);
        let mut told = 0;
        let outcome = loop {
            tokio::select! {
                outcome = &mut pushing => break outcome.map_err(Failure::of_push)?,
                _ = ticks.tick() => {
                    let current = sent.load(Ordering::Relaxed);
                    if current != told {
                        told = current;
                        self.tell_of(layer, PushedLayer::Pushing { current, total }).await?;
                    }
                }
            }
        };
        let step = match outcome {
            Upload::Known => PushedLayer::Known,
            Upload::Mounted(from) => PushedLayer::Mounted(from),
            Upload::Sent => PushedLayer::Pushed,
        };
        self.tell_of(layer, step).await
    }

    /// Other repositories of the registry that are known to have a blob: an image with it was
    /// pulled from there, or pushed there.
    fn elsewhere(&self, blob: Digest) -> Vec<String> {
        let name = self.session.name();
        let images = self.images.catalog.read().list();
        let having = images
            .iter()
            .filter(|image| image.layers.iter().any(|layer| layer.blob.digest == blob));
        let names = having.flat_map(|image| &image.references);
        let others: BTreeSet<&str> = names
            .filter(|other| other.digest().is_some() && other.registry() == name.registry())
            .map(Reference::repository)
            .filter(|other| *other != name.repository())
            .collect();
        others.into_iter().take(MOST_SOURCES).map(str::to_owned).collect()
    }

    async fn tell(&self, step: PushStep) -> Result<()> {
        tell(&self.steps, step).await
    }

    async fn tell_of(&self, layer: &Layer, step: PushedLayer) -> Result<()> {
        self.tell(PushStep::Layer { layer: layer.diff_id, step }).await
    }
}

/// Tells how it goes; an error: nobody wants to know.
async fn tell(steps: &mpsc::Sender<PushStep>, step: PushStep) -> Result<()> {
    steps.send(step).await.map_err(|_| Error::system("the push was cancelled"))
}

/// An image that can be sent as it is.
struct Prepared {
    record: ImageRecord,
    manifest: Blob,
    kind: ManifestKind,
    /// Keeps its blobs while they are sent.
    _blobs: crate::snapshot::Hold<Digest>,
}
