//! `pull`: an image comes from a registry.
//!
//! The manifest says which configuration and layers belong to the image. Layers that are not here
//! are fetched, several at once, and unpacked while they come, one upon the other; other pulls
//! that need the same layers wait for the same work. When all are there, and their digests are
//! right both as they came and unpacked, the image and its names are recorded at once. A pull that
//! is dropped stops, unless another waits for the same; what came of its layers is kept for a day,
//! so that the next one goes on from there.

mod download;
mod flights;
mod growing;
mod layers;
mod plan;
mod resolve;
mod steps;
#[cfg(test)]
mod tests;
mod unpack;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::blobs::KEPT;
use super::catalog::{Catalog, NewImage};
use super::config::ImageConfig;
use super::digest::{ChainId, Digest, ImageId};
use super::image::Blob;
use super::platform::Platform;
use super::record::{CONFIG, ImageRecord};
use super::reference::Reference;
use super::{Images, blocking_with};
use crate::error::{Error, Kind, Result};
use crate::registry::{Access, Credentials, Failure, Received, Session, Wanted};
use download::Download;
use flights::Flights;
use layers::Arrived;
use plan::Layers;
use resolve::{Resolved, resolve};
pub use steps::{LayerStep, Step};
use unpack::Unpacking;

/// The longest configuration that is read.
const LONGEST_CONFIG: u64 = 16 << 20;

/// What is to be pulled.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The name, with its tag or digest.
    pub name: Reference,
    /// Every tag of the repository instead.
    pub all_tags: bool,
    /// `os[/architecture[/variant]]`; none: this machine's.
    pub platform: Option<String>,
    /// What may be shown to the registry.
    pub credentials: Credentials,
}

/// What all pulls share.
pub(super) struct Transfers {
    downloads: Flights<Digest, Download>,
    unpackings: Flights<ChainId, Unpacking>,
    /// One for each layer that may be fetched at the same time.
    permits: Arc<Semaphore>,
}

impl Transfers {
    /// Nothing is under way; `downloads` layers may be at the same time.
    pub(super) fn new(downloads: usize) -> Self {
        let permits = Arc::new(Semaphore::new(downloads.max(1)));
        Self { downloads: Flights::default(), unpackings: Flights::default(), permits }
    }
}

impl Images {
    /// Deletes what came of layers whose pulls ended early; gives its bytes.
    pub async fn prune_parts(&self) -> Result<u64> {
        self.blocking(|catalog| catalog.blobs.sweep_partial(Duration::ZERO)).await
    }

    /// Brings images from a registry, and tells `steps` how it goes.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for what the registry does not have, or does not show;
    /// [`crate::Kind::Unauthorized`] for wrong credentials; [`crate::Kind::System`] for a registry
    /// that cannot be reached, or that lies. Nothing is told before the manifest is there.
    pub async fn pull(&self, request: Pull, steps: mpsc::Sender<Step>) -> Result<()> {
        let platform = request.platform.as_deref().map(Platform::parse).transpose()?;
        self.blocking(|catalog| catalog.blobs.sweep_partial(KEPT)).await?;
        let name = request.name;
        let session = self.registries.session(&name, Access::Pull, request.credentials).await?;
        let work =
            Work { images: self, session: Arc::new(session), platform: platform.as_ref(), steps };
        let newer = if request.all_tags {
            work.all_tags(&name).await?
        } else {
            work.one(&name.clone().or_latest()).await?
        };
        let name = if request.all_tags { name } else { name.or_latest() };
        work.tell(Step::Done { name: name.familiar(), newer }).await?;
        self.catalog.tell_of(&name, "pull");
        Ok(())
    }
}

/// One pull.
struct Work<'a> {
    images: &'a Images,
    session: Arc<Session>,
    /// The one that was asked for.
    platform: Option<&'a Platform>,
    steps: mpsc::Sender<Step>,
}

impl Work<'_> {
    async fn all_tags(&self, name: &Reference) -> Result<bool> {
        let tags = self.session.tags().await.map_err(|failure| failure.of_pull(name))?;
        let mut newer = false;
        for tag in tags {
            newer |= self.one(&name.clone().with_tag(&tag)?).await?;
        }
        Ok(newer)
    }

    /// Pulls one image; true: the name had none, or another.
    async fn one(&self, name: &Reference) -> Result<bool> {
        let resolved = resolve(&self.session, name, self.platform).await;
        let resolved = resolved.map_err(|failure| failure.of_pull(name))?;
        let shown = match (name.tag(), name.digest()) {
            (Some(tag), None) => tag.to_owned(),
            _ => name.to_string(),
        };
        self.tell(Step::Begun { repository: name.familiar_name(), tag: shown }).await?;
        let mut names = vec![name.clone().with_digest(resolved.top)];
        if name.digest().is_none() {
            names.push(name.clone());
        }
        let before = self.images.catalog.read().named(name);
        let id = match self.have(&resolved) {
            Some(id) => {
                let give = move |catalog: &Catalog| catalog.give_names(id, &names);
                blocking_with(&self.images.catalog, give).await?;
                id
            }
            None => self.bring_somehow(name, &resolved, &names).await?,
        };
        self.warn_of_platform(name, id).await?;
        self.tell(Step::Digest(resolved.top)).await?;
        Ok(before != Some(id))
    }

    /// The image, if it is here already.
    fn have(&self, resolved: &Resolved) -> Option<ImageId> {
        let digest: Digest = resolved.image.config().digest().to_string().parse().ok()?;
        self.images.catalog.read().image(ImageId(digest)).map(|image| image.record.id())
    }

    /// Brings an image; where a mirror's blobs are of no use, those of the registry itself.
    async fn bring_somehow(
        &self,
        name: &Reference,
        resolved: &Resolved,
        names: &[Reference],
    ) -> Result<ImageId> {
        loop {
            match self.bring(name, resolved, names).await {
                Err(error) if error.kind() == Kind::System && self.session.leave_mirror() => {
                    tracing::warn!(%error, "what a mirror gave is of no use");
                }
                brought => return brought,
            }
        }
    }

    /// Fetches, unpacks and records an image that is not here.
    async fn bring(
        &self,
        name: &Reference,
        resolved: &Resolved,
        names: &[Reference],
    ) -> Result<ImageId> {
        let config = self.config(resolved).await.map_err(|failure| {
            failure.of_pull(name).while_doing("error pulling image configuration")
        })?;
        let parsed = Arc::new(ImageConfig::parse(&config)?);
        let catalog = &self.images.catalog;
        let layers = Layers::plan(catalog, &resolved.image, &parsed)?;
        let arrived = layers.bring(self).await?;
        let names = names.to_vec();
        let new = New { config, parsed, names, manifest: resolved.received.clone(), arrived };
        let id = blocking_with(catalog, move |catalog| catalog.record_pulled(new)).await;
        // What another image had already, or a failure leaves, nobody holds now.
        self.images.blocking(|catalog| Ok(catalog.collect())).await?;
        id
    }

    async fn config(&self, resolved: &Resolved) -> Result<Vec<u8>, Failure> {
        let descriptor = resolved.image.config();
        let digest = descriptor.digest().to_string().parse()?;
        let blob = Wanted { digest, size: descriptor.size() };
        self.session.small_blob(blob, LONGEST_CONFIG).await
    }

    /// An image that came alone, and not chosen from several, may be for another platform.
    async fn warn_of_platform(&self, name: &Reference, id: ImageId) -> Result<()> {
        let Some(wanted) = self.platform else { return Ok(()) };
        let config = {
            let index = self.images.catalog.read();
            index.image(id).map(|image| Arc::clone(&image.config))
        };
        let Some(config) = config else { return Ok(()) };
        let (architecture, variant) = (&config.architecture, config.variant.as_deref());
        if wanted.rank("linux", architecture, variant).is_some() {
            return Ok(());
        }
        let text = format!(
            "WARNING: image with reference {} was found but its platform (linux/{architecture}) \
             does not match the specified platform ({wanted})",
            name.familiar()
        );
        self.tell(Step::Warning(text)).await
    }

    /// Tells how it goes; an error: nobody wants to know, so nobody wants the image.
    async fn tell(&self, step: Step) -> Result<()> {
        self.steps.send(step).await.map_err(|_| Error::system("the pull was cancelled"))
    }
}

/// An image that has come in whole.
struct New {
    config: Vec<u8>,
    parsed: Arc<ImageConfig>,
    names: Vec<Reference>,
    manifest: Received,
    arrived: Arrived,
}

impl Catalog {
    /// Records an image whose layers have arrived.
    fn record_pulled(&self, new: New) -> Result<ImageId> {
        let New { config, parsed, names, manifest, arrived } = new;
        let config = self.blobs.add(&config)?;
        let manifest_blob = self.blobs.add(&manifest.content)?;
        let _blobs = self.blobs.hold([config.digest, manifest_blob.digest]);
        for fetched in arrived.fetched() {
            self.blobs.adopt_fetched(fetched)?;
        }
        self.blobs.adopt(&config)?;
        self.blobs.adopt(&manifest_blob)?;
        // Where a layer was here in another form, the manifest is not what the image now consists
        // of, and is not kept.
        let manifest = arrived.as_described.then(|| Blob {
            digest: manifest_blob.digest,
            size: manifest_blob.size,
            media_type: manifest.kind.media_type().to_owned(),
        });
        let record = ImageRecord {
            config: config.describe(CONFIG),
            layers: arrived.layers,
            manifest,
            parent: None,
        };
        let id = record.id();
        self.commit(vec![NewImage { record, config: parsed, names }], arrived.new)?;
        Ok(id)
    }
}
