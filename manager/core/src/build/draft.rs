//! A writable layer that a step works in.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::sync::watch;

use super::Builds;
use super::stack::{Packing, Sealed, Stack};
use crate::error::{Error, Result};
use crate::ids::namespace;
use crate::image::Images;
use crate::image::build::Written;
use crate::snapshot;
use crate::snapshot::detached::Purpose;
use crate::snapshot::mapped::Users;

/// A writable layer upon a stack, mounted where nobody else sees it. Dropped, it is gone, as if nothing
/// had been done.
pub struct Draft {
    own: Arc<snapshot::Draft>,
    below: Stack,
}

/// A stack that is looked at.
pub struct Look {
    own: snapshot::Draft,
    _below: Stack,
}

impl Builds {
    /// A new writable layer upon `below`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for too many layers; [`crate::Kind::Exhausted`] on a full disk.
    pub async fn draft(&self, below: &Stack) -> Result<Draft> {
        let (own, below) = self.mounted(below, Purpose::Use).await?;
        Ok(Draft { own: Arc::new(own), below })
    }

    /// The same for [`Self::run`]: what is looked at there has the ids of the host that the command's
    /// users are, which may be others than those in the layer.
    ///
    /// # Errors
    /// As for [`Self::draft`].
    pub async fn draft_to_run(&self, below: &Stack) -> Result<Draft> {
        let id_map = self.containers.step_users().cloned();
        let (layers, below) = (Arc::clone(self.images.snapshots().layers()), below.clone());
        blocking(move || {
            let held = id_map.as_ref().map(namespace::new).transpose()?;
            let users = id_map.as_ref().zip(held.as_ref());
            let users = users.map(|(ids, held)| Users { ids, namespace: held.as_fd() });
            let own = Arc::new(layers.draft_to_run(&below.snapshots(), users)?);
            Ok(Draft { own, below })
        })
        .await
    }

    /// What a stack has, to be looked at: nothing in it can be run, and nothing that is written there
    /// is kept.
    ///
    /// # Errors
    /// As for [`Self::draft`].
    pub async fn look(&self, stack: &Stack) -> Result<Look> {
        let (own, below) = self.mounted(stack, Purpose::Look).await?;
        Ok(Look { own, _below: below })
    }

    async fn mounted(&self, below: &Stack, purpose: Purpose) -> Result<(snapshot::Draft, Stack)> {
        let (layers, below) = (Arc::clone(self.images.snapshots().layers()), below.clone());
        blocking(move || Ok((layers.draft(&below.snapshots(), purpose)?, below))).await
    }

    /// A stack of one layer more: what was written. It can be built upon at once.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk.
    pub async fn seal(&self, draft: Draft) -> Result<Stack> {
        let Draft { own, below } = draft;
        let own = Arc::into_inner(own)
            .ok_or_else(|| Error::conflict("a layer can't be sealed while a command runs in it"))?;
        let layers = self.images.snapshots().layers();
        // Where it has to be packed first, it has to be known what it is upon.
        let top = if layers.adopts(&own) { None } else { below.top().await? };
        let stack = below.snapshots();
        let written =
            self.images.for_build(move |building| building.write(own, top, &stack)).await?;
        let (tell, packed) = watch::channel(Packing::UnderWay);
        let unpacked = match written {
            Written::Packed(unpacked, packed) => {
                tell.send_replace(Packing::Done(Arc::new(packed)));
                unpacked
            }
            Written::Adopted(unpacked) => {
                let (images, layer) = (Arc::clone(&self.images), Arc::clone(&unpacked));
                let turn = Arc::clone(&self.packing);
                tokio::spawn(async move {
                    let _turn = turn.acquire_owned().await;
                    tell.send_replace(pack(&images, layer).await);
                });
                unpacked
            }
        };
        Ok(below.with(Sealed::new(&self.images, unpacked, packed)))
    }
}

async fn pack(images: &Images, layer: Arc<snapshot::Unpacked>) -> Packing {
    match images.for_build(move |building| building.pack(&layer)).await {
        Ok(packed) => Packing::Done(Arc::new(packed)),
        Err(error) => Packing::Failed(error.kind(), error.to_string()),
    }
}

impl Draft {
    /// The root of all that is seen in it, for as long as the draft lives.
    ///
    /// # Errors
    /// [`crate::Kind::System`] if there can be no more descriptors.
    pub fn root(&self) -> Result<OwnedFd> {
        self.own.root().handle()
    }

    /// What has to be there as long as something goes on in it, whoever drops it meanwhile.
    pub(super) fn keep(&self) -> (Arc<snapshot::Draft>, Stack) {
        (Arc::clone(&self.own), self.below.clone())
    }
}

impl Look {
    /// The root of all that is seen, for as long as this lives.
    ///
    /// # Errors
    /// [`crate::Kind::System`] if there can be no more descriptors.
    pub fn root(&self) -> Result<OwnedFd> {
        self.own.root().handle()
    }
}

/// Work that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::system("a build's task died").caused_by(error))?
}
