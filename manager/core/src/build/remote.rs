//! Registries, for what builds keep there and take from there.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};

use super::Builds;
use super::stack::{Packing, Sealed, Stack};
use crate::error::{Error, Result};
use crate::given_up::GiveUp;
use crate::image::stream::incoming;
use crate::image::{Blob, Images, Reference};
use crate::registry::{Access, Credentials, Failure, ManifestKind, Session, Wanted};

/// Pieces of a layer that wait to be unpacked.
const DEPTH: usize = 16;
/// Bytes of it that do.
const AHEAD: usize = 1 << 20;

/// A repository of a registry.
pub struct Remote {
    images: Arc<Images>,
    session: Session,
    name: Reference,
}

/// What is done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is read.
    From,
    /// It is written.
    To,
}

impl Builds {
    /// The repository of `name`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for certificates that can't be read.
    pub async fn remote(
        &self,
        name: &Reference,
        credentials: Credentials,
        way: Way,
    ) -> Result<Remote> {
        let access = match way {
            Way::From => Access::Pull,
            Way::To => Access::Push,
        };
        let session = self.images.registries().session(name, access, credentials).await?;
        Ok(Remote { images: Arc::clone(&self.images), session, name: name.clone() })
    }

    /// A stack of one layer more: what is in this archive, plain or compressed. It is hostile input.
    /// It has to be what `blob` says.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what is no layer, or another one.
    pub async fn receive<R>(&self, below: &Stack, archive: R, blob: &Blob) -> Result<Stack>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let archive = incoming(archive);
        let (top, snapshots) = (below.top().await?, below.snapshots());
        let waiting = GiveUp::default();
        let given_up = waiting.watched();
        let received = self
            .images
            .for_build(move |building| building.receive(archive, top, &snapshots, &given_up));
        let (unpacked, packed) = received.await?;
        let came = packed.describe();
        if came.digest != blob.digest {
            let expected = blob.digest;
            return Err(Error::invalid(format!(
                "a layer that is to be {expected} is {}",
                came.digest
            )));
        }
        let (_, packed) = watch::channel(Packing::Done(Arc::new(packed)));
        Ok(below.with(Sealed::new(&self.images, unpacked, packed)))
    }
}

impl Remote {
    /// What has its name there: the manifest to the letter, and its media type.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if nothing has it.
    pub async fn manifest(&self) -> Result<(Vec<u8>, &'static str)> {
        let received = self.session.manifest(&self.name).await;
        let received = received.map_err(|failure| failure.of_pull(&self.name))?;
        Ok((received.content.to_vec(), received.kind.media_type()))
    }

    /// A small blob.
    ///
    /// # Errors
    /// One that is larger than `limit`, or is another one.
    pub async fn small(&self, blob: &Blob, limit: u64) -> Result<Vec<u8>> {
        let content = self.session.small_blob(wanted(blob), limit).await;
        content.map_err(|failure| failure.of_pull(&self.name))
    }

    /// The bytes of a blob, as they come: what breaks off ends early, and is not what it should be.
    #[must_use]
    pub fn blob(self: &Arc<Self>, blob: &Blob) -> DuplexStream {
        let (mut to, from) = duplex(AHEAD);
        let (remote, blob) = (Arc::clone(self), wanted(blob));
        tokio::spawn(async move {
            let (pieces, mut fetched) = mpsc::channel::<Bytes>(DEPTH);
            let passing = async {
                while let Some(piece) = fetched.recv().await {
                    if to.write_all(&piece).await.is_err() {
                        return;
                    }
                }
            };
            let (done, ()) = tokio::join!(remote.session.fetch(blob, 0, pieces), passing);
            if let Err(failure) = done {
                let error = failure.of_pull(&remote.name);
                tracing::warn!(digest = %blob.digest, %error, "a layer of a cache can't be had");
            }
        });
        from
    }

    /// Sends blobs of the store, then small ones that were made, then the manifest, which gets the
    /// name.
    ///
    /// # Errors
    /// What the registry does not take.
    pub async fn send(
        &self,
        stored: &[Blob],
        made: Vec<Vec<u8>>,
        manifest: (Vec<u8>, &str),
    ) -> Result<()> {
        let sent = Arc::new(AtomicU64::new(0));
        for blob in stored {
            let path = self.images.building().path(blob.digest);
            let pushed = self.session.push_blob(wanted(blob), &[], &path, &sent).await;
            pushed.map_err(Failure::of_push)?;
        }
        for content in made {
            self.session.push_small_blob(content.into()).await.map_err(Failure::of_push)?;
        }
        let (content, media_type) = manifest;
        let kind = ManifestKind::of(media_type).ok_or_else(|| {
            Error::unsupported(format!("sending a manifest of type {media_type}"))
        })?;
        let tag = self.name.tag().unwrap_or("latest");
        self.session.put_manifest(tag, kind, content.into()).await.map_err(Failure::of_push)
    }
}

fn wanted(blob: &Blob) -> Wanted {
    Wanted { digest: blob.digest, size: blob.size }
}
