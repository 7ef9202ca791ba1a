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
mod listed;
mod plan;
mod recording;
mod resolve;
mod stack;
mod steps;
#[cfg(test)]
mod tests;
mod unpack;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc};

use super::blobs::KEPT;
use super::catalog::{Catalog, New};
use super::config::ImageConfig;
use super::digest::{ChainId, Digest, ImageId};
use super::platform::Platform;
use super::record::Target;
use super::reference::Reference;
use super::{Images, blocking_with};
use crate::error::{Error, Kind, Result};
use crate::registry::{Access, Credentials, Failure, Session, Wanted};
use download::Download;
use flights::Flights;
use plan::Layers;
use recording::Brought;
use resolve::{Here, Manifests, Resolved};
pub use steps::{LayerStep, Step};
use unpack::Unpacking;

/// The longest configuration that is read.
const LONGEST_CONFIG: u64 = 16 << 20;

/// How often a pull tries again because another one that it waited for has failed.
const MOST_LEANING: usize = 3;

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
    /// By the digest and the size that the blob is to have.
    downloads: Flights<(Digest, u64), Download>,
    /// By the layer, and the blob that it is to come from.
    unpackings: Flights<(ChainId, Digest), Unpacking>,
    /// One for each layer that may be fetched at the same time.
    permits: ArcSwap<Semaphore>,
    /// One for each layer that may be unpacked at the same time.
    turns: Arc<Semaphore>,
}

impl Transfers {
    /// Nothing is under way; `downloads` layers may be at the same time.
    pub(super) fn new(downloads: usize) -> Self {
        let permits = ArcSwap::from_pointee(Semaphore::new(downloads.max(1)));
        // One more than the machine has work for: some wait for others.
        let at_once = std::thread::available_parallelism().map_or(2, |count| count.get() + 1);
        let turns = Arc::new(Semaphore::new(at_once));
        Self { downloads: Flights::default(), unpackings: Flights::default(), permits, turns }
    }

    /// Lets so many of the layers that are yet to begin be fetched at the same time.
    pub(super) fn change(&self, downloads: usize) {
        self.permits.store(Arc::new(Semaphore::new(downloads.max(1))));
    }
}

impl Images {
    /// Brings images from a registry, and tells `steps` how it goes.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for what the registry does not have, or does not show;
    /// [`crate::Kind::Unauthorized`] for wrong credentials; [`crate::Kind::System`] for a registry
    /// that cannot be reached, or that lies. Nothing is told before the manifest is there.
    pub async fn pull(&self, request: Pull, steps: mpsc::Sender<Step>) -> Result<()> {
        let platform = request.platform.as_deref().map(Platform::parse).transpose()?;
        self.blocking(|catalog| catalog.blobs.parts().sweep(KEPT)).await?;
        let name = request.name;
        let session = self.registries.session(&name, Access::Pull, request.credentials).await?;
        let work = Work {
            images: self,
            session: Arc::new(session),
            platform: platform.as_ref(),
            steps,
            leans: AtomicBool::new(false),
            no_room: Mutex::default(),
        };
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
    /// Set when it waits for what another pull has begun.
    leans: AtomicBool,
    /// Set when the disk is too small for the present attempt: a download that this began and that
    /// has not opened its file yet leaves none. The next attempt has another.
    no_room: Mutex<Arc<AtomicBool>>,
}

impl Work<'_> {
    /// What says whether there is room for the present attempt.
    fn no_room(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.no_room.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn all_tags(&self, name: &Reference) -> Result<bool> {
        let tags = self.session.tags().await.map_err(|failure| failure.of_pull(name))?;
        let mut newer = false;
        for tag in tags {
            newer |= self.one(&name.clone().with_tag(&tag)?).await?;
        }
        Ok(newer)
    }

    /// Pulls one image; true: it was not here, or the name stood for another.
    async fn one(&self, name: &Reference) -> Result<bool> {
        let catalog = &self.images.catalog;
        let manifests = Manifests { session: &self.session, catalog };
        let resolved = manifests.resolve(name, self.platform).await;
        let resolved = resolved.map_err(|failure| failure.of_pull(name))?;
        let shown = match (name.tag(), name.digest()) {
            (Some(tag), None) => tag.to_owned(),
            _ => name.to_string(),
        };
        self.tell(Step::Begun { repository: name.repository().to_owned(), tag: shown }).await?;
        let mut names = vec![name.clone().with_digest(resolved.top)];
        if name.digest().is_none() {
            names.push(name.clone());
        }
        let before = catalog.read().target(name);
        let here = resolved.here(catalog).await?;
        let id = match here {
            Here::No => self.bring_somehow(name, &resolved, &names).await?,
            Here::Image(id) => self.join(name, &resolved, id, &names).await?,
            Here::Listed(id) => {
                let target = resolved.target(id);
                let give = move |catalog: &Catalog| catalog.give_names(target, &names);
                blocking_with(catalog, give).await?;
                id
            }
        };
        self.warn_of_platform(name, id).await?;
        self.tell(Step::Digest(resolved.top)).await?;
        let known = before == Some(resolved.target(id)) && !matches!(here, Here::No);
        Ok(!known)
    }

    /// Records that an image which is here is that of the manifest, and of the list that led to it.
    async fn join(
        &self,
        name: &Reference,
        resolved: &Resolved,
        id: ImageId,
        names: &[Reference],
    ) -> Result<ImageId> {
        let listed = self.listed(name, resolved).await;
        let (received, names) = (resolved.received.clone(), names.to_vec());
        let record = move |catalog: &Catalog| {
            catalog.adopt_manifest(id, &received)?;
            let Some(listed) = listed else {
                return catalog.give_names(Target::Image(id), &names);
            };
            let config = catalog.read().image(id).map(|image| Arc::clone(&image.config));
            let config = config.ok_or_else(|| Error::not_found(format!("No such image: {id}")))?;
            let (list, _held) = catalog.keep_listed(&listed, id, config.platform(), names)?;
            catalog.commit(New { lists: vec![list], ..Default::default() }).map(drop)
        };
        let recorded = blocking_with(&self.images.catalog, record).await;
        self.images.blocking(|catalog| Ok(catalog.collect())).await?;
        recorded.map(|()| id)
    }

    /// Brings an image; where a mirror's blobs are of no use, those of the registry itself, and where
    /// those that another pull fetches, its own.
    async fn bring_somehow(
        &self,
        name: &Reference,
        resolved: &Resolved,
        names: &[Reference],
    ) -> Result<ImageId> {
        let mut attempts = 0..MOST_LEANING;
        loop {
            match self.bring(name, resolved, names).await {
                Err(error)
                    if self.leans.swap(false, Ordering::Relaxed)
                        && !self.steps.is_closed()
                        && attempts.next().is_some() =>
                {
                    tracing::warn!(%error, "what another pull fetched is of no use");
                }
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
        *self.no_room.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        let config = self.config(resolved).await.map_err(|failure| {
            failure.of_pull(name).while_doing("error pulling image configuration")
        })?;
        let parsed = Arc::new(ImageConfig::parse(&config)?);
        let catalog = &self.images.catalog;
        let (image, of) = (resolved.image.clone(), Arc::clone(&parsed));
        let plan = move |catalog: &Catalog| Layers::plan(catalog, &image, &of);
        let layers = blocking_with(catalog, plan).await?;
        let blobs: Vec<Digest> = layers.planned.iter().map(|layer| layer.wanted.digest).collect();
        let (listed, arrived) = tokio::join!(self.listed(name, resolved), layers.bring(self));
        let (names, manifest) = (names.to_vec(), resolved.received.clone());
        let id = match arrived {
            Ok(arrived) => {
                let new = Brought { config, parsed, names, manifest, listed, arrived };
                blocking_with(catalog, move |catalog| catalog.record_pulled(new)).await
            }
            Err(error) => Err(error),
        };
        if id.as_ref().is_err_and(|error| error.kind() == Kind::Exhausted) {
            self.no_room().store(true, Ordering::SeqCst);
            self.make_room(blobs);
        }
        // What another image had already, or a failure leaves, nobody holds now.
        self.images.blocking(|catalog| Ok(catalog.collect())).await?;
        id
    }

    /// Deletes what came of the blobs of a pull for which the disk is too small; those that another
    /// pull fetches, should that fail, too. Nobody has to wait for it.
    fn make_room(&self, blobs: Vec<Digest>) {
        let catalog = Arc::clone(&self.images.catalog);
        tokio::task::spawn_blocking(move || {
            for blob in blobs {
                if let Err(error) = catalog.blobs.parts().drop_one(blob) {
                    tracing::warn!(%error, "a part of a blob stays");
                }
            }
        });
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
