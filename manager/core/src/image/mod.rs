//! Images: taking them in, naming them, giving them out, taking them away.

pub(crate) mod archive;
mod blobs;
pub(crate) mod build;
mod catalog;
mod changes;
mod commit;
pub(crate) mod compression;
mod config;
#[cfg(test)]
mod damage;
mod digest;
mod history;
#[expect(clippy::module_inception, reason = "the type's own file")]
mod image;
mod import;
mod index;
mod list;
mod load;
mod manifest;
mod manifests;
mod pipe;
pub(crate) mod pipeline;
mod platform;
mod prune;
mod pull;
mod push;
mod record;
mod reference;
mod remove;
mod save;
pub(crate) mod stream;
#[cfg(test)]
mod stress;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;

use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use crate::apart;
use crate::archived::Archived;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::given_up::GiveUp;
use crate::registry::{Registries, RegistrySettings};
use crate::snapshot::Snapshots;
use crate::store::Store;
use catalog::Catalog;

pub(crate) use commit::{Commit, Layering};
pub use config::{Defaults, Healthcheck, HistoryStep, ImageConfig, RootFs};
pub(crate) use digest::Hasher;
pub use digest::{ChainId, DiffId, Digest, ImageId};
pub use image::{Blob, Image, Layer};
pub use manifests::{ListedKind, ListedManifest};
pub use platform::Platform;
pub use prune::Pruned;
pub use pull::{LayerStep, Pull, Step};
pub use push::{Push, PushStep, PushedLayer};
pub use reference::Reference;
pub use usage::{ImagesOnDisk, OnDisk};

/// All images of one manager.
pub struct Images {
    catalog: Arc<Catalog>,
    snapshots: Snapshots,
    registries: Arc<Registries>,
    transfers: pull::Transfers,
}

/// How far the unpacking of one layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The layer.
    pub layer: DiffId,
    /// Bytes of its blob that are done.
    pub current: u64,
    /// Bytes of its blob.
    pub total: u64,
}

/// An image that a `load` brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub id: ImageId,
    /// The tags it was given, in docker's short form.
    pub tags: Vec<LoadedTag>,
}

/// A tag that a `load` gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTag {
    /// In docker's short form: `nginx:latest`.
    pub name: String,
    /// The other image that had it until then.
    pub taken_from: Option<ImageId>,
}

/// What an `import` makes of its archive.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The name that the image gets.
    pub reference: Option<Reference>,
    /// What is said about it.
    pub message: String,
    /// Dockerfile instructions that set its configuration.
    pub changes: Vec<String>,
    /// `os[/architecture[/variant]]`; none: this machine's.
    pub platform: Option<String>,
}

/// How `remove` goes about it.
#[derive(Debug, Clone, Default)]
pub struct RemoveImage {
    /// Also if it has several names or a stopped container uses it.
    pub force: bool,
    /// Of a name of several images, only those for these platforms; none: all of them.
    pub platforms: Vec<Platform>,
    /// Leave the images without a name that it was made of.
    pub keep_parents: bool,
}

/// What a `remove` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// This name is gone.
    Untagged(String),
    /// This image or layer is gone.
    Deleted(String),
}

/// One step of an image's history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image that was there after it, if that is known.
    pub id: Option<ImageId>,
    /// When it was done.
    pub created: Option<jiff::Timestamp>,
    /// The instruction.
    pub created_by: String,
    /// The tags of that.
    pub tags: Vec<String>,
    /// Bytes of the files in its layer.
    pub size: u64,
    /// What was said about it.
    pub comment: String,
}

/// Who uses images; containers tell.
pub trait ImageUsers: Send + Sync {
    /// The containers made from `image`.
    fn containers_using(&self, image: &ImageId) -> Vec<ImageUser>;
}

/// A container that was made from an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
}

impl Images {
    /// Opens the images under the data root and sweeps what no record names. Blocks for the disk.
    pub fn open(config: &Config, store: Arc<Store>, events: Arc<Events>) -> Result<Arc<Self>> {
        let snapshots = Snapshots::open(config, Arc::clone(&store))?;
        let catalog = Arc::new(Catalog::open(config, store, events, &snapshots)?);
        let registries = Registries::new(config.registry.clone());
        let transfers = pull::Transfers::new(config.registry.downloads);
        Ok(Arc::new(Self { catalog, snapshots, registries, transfers }))
    }

    /// The way to registries.
    pub fn registries(&self) -> &Arc<Registries> {
        &self.registries
    }

    /// Changes how registries are reached, for pulls and pushes that begin from now on.
    pub fn change_registries(&self, settings: RegistrySettings) {
        self.transfers.change(settings.downloads);
        self.registries.change(settings);
    }

    /// The snapshots of these images and of containers made from them.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Takes in the images of an archive that `docker save` or an OCI tool wrote; plain or
    /// compressed; all, or those for `platform`. `progress` is told without waiting for it.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what is wrong with the archive: nothing is taken in then.
    pub async fn load<R>(
        &self,
        archive: R,
        platform: Option<Platform>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let archive = stream::incoming(archive);
        let give_up = GiveUp::default();
        let given_up = give_up.watched();
        self.apart(move |catalog| catalog.load(archive, platform.as_ref(), &progress, &given_up))
            .await
    }

    /// Makes an image with one layer from a root file system's tar.
    pub async fn import<R>(&self, archive: R, request: Import) -> Result<ImageId>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let archive = stream::incoming(archive);
        let give_up = GiveUp::default();
        let given_up = give_up.watched();
        self.apart(move |catalog| catalog.import(archive, request, &given_up)).await
    }

    /// `defaults` with these Dockerfile instructions applied.
    pub(crate) fn changed(defaults: Defaults, changes: &[String]) -> Result<Defaults> {
        changes::apply(defaults, changes)
    }

    /// Makes an image upon another one. `pack` writes the layer between them and says how many
    /// members it has.
    pub(crate) async fn commit(
        &self,
        commit: Commit,
        pack: impl FnOnce(&mut Layering) -> Result<u64> + Send + 'static,
    ) -> Result<ImageId> {
        self.blocking(move |catalog| catalog.commit_layer(commit, pack)).await
    }

    /// Every image.
    pub fn list(&self) -> Vec<Arc<Image>> {
        self.catalog.read().list()
    }

    /// The image called `name`: a reference in short or whole form, an id or the beginning of one.
    pub fn resolve(&self, name: &str) -> Result<Arc<Image>> {
        self.catalog.read().resolve(name)
    }

    /// The image called `name` that suits `platform` best; without one, this machine, or else any.
    ///
    /// # Errors
    /// Also [`crate::Kind::NotFound`] if it isn't there for that platform.
    pub fn resolve_for(&self, name: &str, platform: Option<&Platform>) -> Result<Arc<Image>> {
        match platform {
            Some(platform) => self.catalog.read().resolve_for(name, platform),
            None => self.resolve(name),
        }
    }

    /// Gives the image `source` the name `target`, taking it from the image that has it.
    pub async fn tag(&self, source: &str, target: &str) -> Result<()> {
        let name = taggable(Reference::parse(target)?)?;
        let source = source.to_owned();
        self.blocking(move |catalog| catalog.tag(&source, name)).await
    }

    /// Takes away a name, and the image with its last name.
    pub async fn remove(
        &self,
        name: &str,
        options: RemoveImage,
        users: Arc<dyn ImageUsers>,
    ) -> Result<Vec<Removed>> {
        let name = name.to_owned();
        self.blocking(move |catalog| catalog.remove(&name, &options, &*users)).await
    }

    /// Takes away the images that may go and that no container uses, and what came of layers whose
    /// pulls ended early.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] if another one prunes now.
    pub async fn prune(
        &self,
        may_go: impl Fn(&Image) -> bool + Send + 'static,
        users: Arc<dyn ImageUsers>,
    ) -> Result<Pruned> {
        self.blocking(move |catalog| catalog.prune(&may_go, &*users)).await
    }

    /// Makes sure that an image is here. For whoever has made known before that it is used, no
    /// removal takes it away from then on.
    pub(crate) async fn confirm(&self, id: ImageId, name: &str) -> Result<()> {
        let gone = Error::not_found(format!("No such image: {name}"));
        let look = move |catalog: &Catalog| {
            let _one_at_a_time = catalog.lock_changes();
            catalog.read().image(id).map(drop).ok_or(gone)
        };
        self.blocking(look).await
    }

    /// The manifests that the names of each of these images stand for, and what of them is here.
    pub async fn manifests(&self, images: Vec<Arc<Image>>) -> Result<Vec<Vec<ListedManifest>>> {
        let all = move |catalog: &Catalog| {
            Ok(images.iter().map(|image| catalog.manifests(image)).collect())
        };
        self.blocking(all).await
    }

    /// An image's configuration as it came.
    pub async fn configuration(&self, id: ImageId) -> Result<serde_json::Value> {
        let read = move |catalog: &Catalog| {
            let content = catalog.blobs.content(id.digest())?;
            serde_json::from_slice(&content)
                .map_err(|error| Error::system(format!("read the configuration of {id}: {error}")))
        };
        self.blocking(read).await
    }

    /// How the image was made, newest step first; of several, the one for `platform`.
    pub fn history(&self, name: &str, platform: Option<&Platform>) -> Result<Vec<HistoryEntry>> {
        let image = self.resolve_for(name, platform)?;
        history::history(&self.catalog.read(), &image)
    }

    /// Images as an archive that `load` reads; of several platforms all, or only `platform`. A
    /// repository alone stands for all its tags.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown name, or one without an image for the platform.
    pub fn save(&self, names: &[String], platform: Option<&Platform>) -> Result<Archived> {
        self.catalog.save(names, platform)
    }

    /// An archive of these blobs, in `blobs/sha256`, and of these files after them.
    pub(crate) fn layout(
        &self,
        blobs: Vec<Blob>,
        files: Vec<(String, Vec<u8>)>,
    ) -> Result<Archived> {
        self.catalog.layout(blobs, files)
    }

    /// Work that waits for a client, in a thread of its own.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Catalog) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let catalog = Arc::clone(&self.catalog);
        apart::begin("archive", move || work(&catalog))?.outcome().await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Catalog) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        blocking_with(&self.catalog, work).await
    }
}

async fn blocking_with<T: Send + 'static>(
    catalog: &Arc<Catalog>,
    work: impl FnOnce(&Catalog) -> Result<T> + Send + 'static,
) -> Result<T> {
    let catalog = Arc::clone(catalog);
    tokio::task::spawn_blocking(move || work(&catalog))
        .await
        .map_err(|error| Error::system("an image's task died").caused_by(error))?
}

/// A name that can be given to an image: with a tag, not a digest.
fn taggable(reference: Reference) -> Result<Reference> {
    let reference = reference.or_latest();
    if reference.digest().is_some() {
        return Err(Error::invalid("refusing to create a tag with a digest reference"));
    }
    if reference.familiar_name() == "sha256" {
        return Err(Error::invalid(
            "refusing to create an ambiguous tag using digest algorithm as name",
        ));
    }
    Ok(reference)
}
