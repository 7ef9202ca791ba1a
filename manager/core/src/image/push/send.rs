//! Images and lists on their way: first what they name, then they themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::time::interval;

use super::{PushedLayer, Work};
use crate::error::{Error, Result};
use crate::given_up::GiveUp;
use crate::image::blocking_with;
use crate::image::catalog::Catalog;
use crate::image::digest::{Digest, ImageId};
use crate::image::image::{Blob, Layer};
use crate::image::record::ListRecord;
use crate::image::reference::Reference;
use crate::registry::{Failure, ManifestKind, Upload, Wanted};

/// How often it is told how far a layer is.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Other repositories that a layer is looked for in.
const MOST_SOURCES: usize = 3;

impl Work<'_> {
    /// Sends an image, with this one of its manifests if it is given; under a tag, or its digest
    /// alone. Gives the manifest.
    pub(super) async fn image(
        &self,
        id: ImageId,
        manifest: Option<Blob>,
        tag: Option<&str>,
    ) -> Result<Blob> {
        for layer in self.layers(id)?.iter().rev() {
            self.tell_of(layer, PushedLayer::Preparing).await?;
        }
        let catalog = &self.images.catalog;
        let waiting = GiveUp::default();
        let given_up = waiting.watched();
        let prepare = move |catalog: &Catalog| catalog.prepare_push(id, manifest, &given_up);
        let prepared = blocking_with(catalog, prepare).await?;
        // What the image has no more, since it is compressed now.
        self.images.blocking(|catalog| Ok(catalog.collect())).await?;
        let record = &prepared.record;
        let sending = record.layers.iter().map(|layer| self.layer(layer));
        try_join_all(sending).await?;
        let config = self.content(record.config.digest).await?;
        self.session.push_small_blob(config).await.map_err(Failure::of_push)?;
        self.manifest(&prepared.manifest, prepared.kind, tag).await?;
        Ok(prepared.manifest)
    }

    /// Sends a list that is here with all that it leads to. Gives the list itself.
    pub(super) async fn list(&self, record: ListRecord, tag: &str) -> Result<Blob> {
        let _blobs = self.images.catalog.blobs.hold(record.blobs().map(|blob| blob.digest));
        for variant in &record.variants {
            self.image(variant.image, Some(variant.manifest.clone()), None).await?;
        }
        let others = || record.others.iter().map(|blob| (blob, ManifestKind::of(&blob.media_type)));
        for (blob, _) in others().filter(|(_, kind)| kind.is_none()) {
            self.small(blob).await?;
        }
        for (blob, kind) in others().filter_map(|(blob, kind)| Some((blob, kind?))) {
            if !kind.is_list() {
                self.manifest(blob, kind, None).await?;
            }
        }
        // The innermost list first.
        for (blob, kind) in others().rev().filter_map(|(blob, kind)| Some((blob, kind?))) {
            if kind.is_list() {
                self.manifest(blob, kind, None).await?;
            }
        }
        let kind = ManifestKind::of(&record.list.media_type).ok_or_else(|| {
            Error::unsupported(format!("pushing a list of type {}", record.list.media_type))
        })?;
        self.manifest(&record.list, kind, Some(tag)).await?;
        Ok(record.list)
    }

    async fn manifest(&self, blob: &Blob, kind: ManifestKind, tag: Option<&str>) -> Result<()> {
        let content = self.content(blob.digest).await?;
        let digest = blob.digest.to_string();
        let put = self.session.put_manifest(tag.unwrap_or(&digest), kind, content).await;
        put.map_err(Failure::of_push)
    }

    /// Sends what is neither a layer nor a manifest.
    async fn small(&self, blob: &Blob) -> Result<()> {
        let path = self.images.catalog.blobs.path(blob.digest);
        let wanted = Wanted { digest: blob.digest, size: blob.size };
        let sent = Arc::new(AtomicU64::new(0));
        let pushed = self.session.push_blob(wanted, &[], &path, &sent).await;
        pushed.map(drop).map_err(Failure::of_push)
    }

    async fn content(&self, digest: Digest) -> Result<Bytes> {
        let read = move |catalog: &Catalog| catalog.blobs.content(digest);
        Ok(blocking_with(&self.images.catalog, read).await?.into())
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
                outcome = &mut pushing => match outcome {
                    Ok(outcome) => break outcome,
                    Err(failure) => return Err(self.why(&layer.blob, failure).await),
                },
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

    /// Why a blob was not taken: if it is damaged here, the registry had reason to refuse it.
    async fn why(&self, blob: &Blob, failure: Failure) -> Error {
        let blob = blob.clone();
        let verify = move |catalog: &Catalog| catalog.blobs.verify(&blob);
        let verified = blocking_with(&self.images.catalog, verify).await;
        verified.err().unwrap_or_else(|| failure.of_push())
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
}
