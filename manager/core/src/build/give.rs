//! What was built goes out: as an archive of its files, or of its blobs.

use std::sync::Arc;

use super::{Builds, Stack};
use crate::archived::{Archived, archived};
use crate::error::Result;
use crate::given_up::GiveUp;
use crate::image::build::Kept;
use crate::image::{Blob, Layer};
use crate::snapshot::pack::{Packer, Tree};

pub use crate::image::build::{Packing, Repack};

/// The layers of a stack as they go out. They stay as long as this does.
#[derive(Clone)]
pub struct Outgoing {
    /// They, lowest first.
    pub layers: Vec<Layer>,
    _kept: Arc<Kept>,
}

impl Builds {
    /// All files of these stacks, as an archive, each in the directory that is named with it. Nothing
    /// is of a later time than this, in seconds since 1970.
    ///
    /// # Errors
    /// As for [`Self::look`]; what fails while it is written breaks it off.
    pub async fn files(
        &self,
        stacks: Vec<(Option<String>, Stack)>,
        latest: Option<i64>,
    ) -> Result<Archived> {
        let mut looks = Vec::with_capacity(stacks.len());
        for (name, stack) in &stacks {
            looks.push((name.clone(), self.look(stack).await?));
        }
        archived(move |to| {
            let mut packer = Packer::new(to, Tree::Merged).no_later_than(latest);
            for (name, look) in &looks {
                packer.pack(look.root()?, name.as_ref().map(String::as_bytes), None)?;
            }
            packer.finish().map(drop)
        })
    }

    /// The layers of `stack`, recorded and compressed so.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk; a damaged blob.
    pub async fn outgoing(
        &self,
        stack: &Stack,
        packing: Packing,
        repack: Repack,
    ) -> Result<Outgoing> {
        let kept = self.keep(std::slice::from_ref(stack)).await?;
        let layers = match kept.first() {
            Some(kept) => kept.layers().await?,
            None => Vec::new(),
        };
        let waiting = GiveUp::default();
        let given_up = waiting.watched();
        let packed = self
            .images
            .for_build(move |building| building.packed(&layers, packing, repack, &given_up));
        let (layers, blobs) = packed.await?;
        drop(kept);
        Ok(Outgoing { layers, _kept: Arc::new(blobs) })
    }

    /// An archive of these files, after these blobs of the store, which are in `blobs/sha256`.
    ///
    /// # Errors
    /// A blob that is gone; what fails while it is written breaks it off.
    pub fn layout(&self, blobs: Vec<Blob>, made: Vec<(String, Vec<u8>)>) -> Result<Archived> {
        self.images.layout(blobs, made)
    }

    /// The content of a blob of the store, checked while it is read.
    ///
    /// # Errors
    /// A blob that is gone, or is not what its digest says.
    pub fn blob(&self, blob: &Blob) -> Result<Archived> {
        let (images, blob) = (Arc::clone(&self.images), blob.clone());
        archived(move |to| images.building().copy(&blob, to))
    }
}
