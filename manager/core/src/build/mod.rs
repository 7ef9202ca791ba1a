//! The root file systems that builds work in, and the images made of them.
//!
//! Life of a step: [`Builds::draft`] makes a writable layer upon a [`Stack`]; files are put there, or
//! [`Builds::run`] runs a command in it; [`Draft::seal`] makes a stack of one layer more of it, upon
//! which the next step begins at once, while what was written is packed and hashed in the background.
//! [`Builds::keep`] and [`Builds::image`] make layers durable and record them. What no record names, a
//! crash takes away; nothing is synced before.

mod draft;
mod give;
mod image;
mod remote;
mod run;
mod stack;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::container::Containers;
use crate::error::Result;
use crate::image::{Image, Images, Layer};

pub use draft::{Draft, Look};
pub use give::{Outgoing, Packing, Repack};
pub use image::{ImageIndex, NewImage};
pub use remote::{Remote, Way};
pub use run::{Run, RunMount, RunSource, Security};
pub use stack::Stack;

/// Layers that are packed at once: each takes a processor.
const PACKED_AT_ONCE: usize = 2;

/// What builds need of images and containers.
pub struct Builds {
    images: Arc<Images>,
    containers: Arc<Containers>,
    packing: Arc<Semaphore>,
}

impl Builds {
    pub(crate) fn new(images: Arc<Images>, containers: Arc<Containers>) -> Arc<Self> {
        Arc::new(Self { images, containers, packing: Arc::new(Semaphore::new(PACKED_AT_ONCE)) })
    }

    /// Nothing at all.
    pub fn nothing(&self) -> Stack {
        Stack::of(Vec::new(), self.images.building().hold(&[]), Vec::new())
    }

    /// What an image has.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] if it is gone.
    pub fn of_image(&self, image: &Image) -> Result<Stack> {
        self.of_layers(&image.layers).ok_or_else(|| {
            crate::Error::not_found(format!("No such image: {}: its layers are gone", image.id))
        })
    }

    /// These layers, lowest first, as [`Stack::layers`] gave them; none if one of them is gone.
    pub fn of_layers(&self, layers: &[Layer]) -> Option<Stack> {
        let building = self.images.building();
        let kept = building.keep(layers)?;
        let snapshots = building.snapshots(layers).ok()?;
        Some(Stack::of(layers.to_vec(), kept, snapshots))
    }

    /// Takes layers away that nobody keeps any more.
    pub async fn collect(&self) {
        let collected = self.images.for_build(|building| {
            building.collect();
            Ok(())
        });
        if let Err(error) = collected.await {
            tracing::warn!(%error, "unused layers stay");
        }
    }
}
