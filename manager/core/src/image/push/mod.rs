//! `push`: an image goes to a registry.
//!
//! What goes is what came: an image that was pulled goes with its manifest and the very blobs that
//! it came with. One that was made here gets a manifest first, and its layers are compressed; both
//! are kept, so that it has one digest wherever and however often it is pushed. Of the layers, only
//! those are sent that the registry does not have.
//!
//! A name of images for several platforms goes as the list that it stands for, with its attestations,
//! if all of it is here. Otherwise, and where one platform is asked for, one image goes alone.

mod choose;
pub(super) mod compress;
mod prepare;
mod send;
#[cfg(test)]
mod tests;

use tokio::sync::{Semaphore, mpsc};

use super::catalog::Catalog;
use super::digest::{DiffId, Digest};
use super::image::{Blob, Layer};
use super::platform::Platform;
use super::record::{ImageRecord, Target};
use super::reference::Reference;
use super::{Images, blocking_with};
use crate::error::{Error, Kind, Result};
use crate::registry::{Access, Credentials, ManifestKind, Session};
use choose::Cargo;

/// What is to be pushed.
#[derive(Debug, Clone)]
pub struct Push {
    /// The name with its tag; without one: every tag of the repository.
    pub name: Reference,
    /// Only the image for this platform.
    pub platform: Option<Platform>,
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
    /// The registry gets one manifest instead of the list that the name stands for, since not all
    /// of that is here.
    Instead {
        /// The list.
        list: Blob,
        /// The manifest.
        manifest: Blob,
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
        for (name, target) in chosen {
            work.one(&name, target, request.platform.as_ref()).await?;
        }
        self.catalog.tell_of(name, "push");
        Ok(())
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
    async fn one(
        &self,
        name: &Reference,
        target: Target,
        platform: Option<&Platform>,
    ) -> Result<()> {
        let tag = name.tag().unwrap_or_default().to_owned();
        let (target, Blob { digest, size, .. }) = match self.choose(name, target, platform)? {
            Cargo::Image { id, manifest } => {
                (Target::Image(id), self.image(id, manifest, Some(&tag)).await?)
            }
            Cargo::Instead { id, manifest, list } => {
                let manifest = self.image(id, Some(manifest), Some(&tag)).await?;
                self.tell(PushStep::Instead { list, manifest: manifest.clone() }).await?;
                (Target::Image(id), manifest)
            }
            Cargo::List(list) => (Target::List(list.list.digest), self.list(list, &tag).await?),
        };
        // Should it be removed meanwhile, it needs no name.
        let known_by = [name.clone().with_digest(digest)];
        let give = move |catalog: &Catalog| catalog.give_names(target, &known_by);
        let named = blocking_with(&self.images.catalog, give).await;
        if let Err(error) = named
            && error.kind() != Kind::NotFound
        {
            return Err(error);
        }
        self.tell(PushStep::Done { tag, digest, size }).await
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
