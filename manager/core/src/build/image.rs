//! What was built is recorded: as layers for later builds, and as images.

use std::collections::HashSet;
use std::sync::Arc;

use super::stack::Placed;
use super::{Builds, Outgoing, Stack};
use crate::error::Result;
use crate::image::build::{Assembled, Assembly, NewIndex, Packed};
use crate::image::{ImageId, Layer, Platform, Reference};
use crate::snapshot::{NewLayer, SnapshotId};

/// An image to be recorded.
#[derive(Clone)]
pub struct NewImage {
    /// Its files.
    pub stack: Stack,
    /// Its configuration, to the letter; it names the layers that [`Stack::layers`] gives.
    pub config: Vec<u8>,
    /// Its manifest, to the letter, and the media type of that; none: it has none.
    pub manifest: Option<(Vec<u8>, String)>,
    /// Its layers as its manifest has them, where that is not how they were made.
    pub outgoing: Option<Outgoing>,
    /// The image that it was made of, where that is to be shown.
    pub parent: Option<ImageId>,
    /// The names that it gets.
    pub names: Vec<Reference>,
}

/// What stands for images of several platforms.
#[derive(Debug, Clone)]
pub struct ImageIndex {
    /// It, to the letter.
    pub content: Vec<u8>,
    /// Its media type.
    pub media_type: String,
    /// What each of the images is for, in the same order.
    pub platforms: Vec<Platform>,
    /// The names that it gets.
    pub names: Vec<Reference>,
}

impl Builds {
    /// Makes layers durable, and records them; gives the same stacks, all of them recorded.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk; nothing is recorded then.
    pub async fn keep(&self, stacks: &[Stack]) -> Result<Vec<Stack>> {
        if stacks.iter().all(Stack::is_recorded) {
            return Ok(stacks.to_vec());
        }
        let mut all = Vec::with_capacity(stacks.len());
        for stack in stacks {
            all.push(stack.placed().await?);
        }
        let _originals = stacks.to_vec();
        self.images
            .for_build(move |building| {
                let mut layers = Vec::new();
                let mut kept = Vec::with_capacity(all.len());
                for placed in all {
                    let (described, new) = split(placed);
                    // Kept before anybody can take them away.
                    kept.push((building.hold(&described), described));
                    layers.extend(new);
                }
                once(&mut layers);
                building.assemble(Assembly { layers, ..Assembly::default() })?;
                let recorded = kept.into_iter().map(|(kept, layers)| {
                    let snapshots: Vec<SnapshotId> = building.snapshots(&layers)?;
                    Ok(Stack::of(layers, kept, snapshots))
                });
                recorded.collect()
            })
            .await
    }

    /// Records images and what they are made of, at once; and, if they are of several platforms, what
    /// stands for all of them.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk; nothing is recorded then.
    pub async fn image(
        &self,
        images: Vec<NewImage>,
        index: Option<ImageIndex>,
    ) -> Result<Vec<ImageId>> {
        let mut all = Vec::with_capacity(images.len());
        for image in images {
            let placed = image.stack.placed().await?;
            all.push((image, placed));
        }
        self.images
            .for_build(move |building| {
                let mut assembly = Assembly::default();
                let mut kept = Vec::new();
                for (image, placed) in all {
                    let NewImage { stack, config, manifest, outgoing, parent, names } = image;
                    let (layers, new) = split(placed);
                    let layers = outgoing.map_or(layers, |outgoing| outgoing.layers.clone());
                    // What it stands on stays, too, until it is recorded.
                    kept.push((building.hold(&layers), stack));
                    assembly.layers.extend(new);
                    assembly.images.push(Assembled { config, layers, manifest, parent, names });
                }
                once(&mut assembly.layers);
                assembly.index = index.map(|index| NewIndex {
                    content: index.content,
                    media_type: index.media_type,
                    platforms: index.platforms,
                    names: index.names,
                });
                building.assemble(assembly)
            })
            .await
    }
}

type NewLayers = Vec<(Arc<NewLayer>, Arc<Packed>)>;

fn split(placed: Vec<Placed>) -> (Vec<Layer>, NewLayers) {
    let mut new = Vec::new();
    let layers = placed.into_iter().map(|placed| {
        new.extend(placed.new);
        placed.layer
    });
    (layers.collect(), new)
}

/// Stacks share layers; each is recorded once.
fn once(layers: &mut NewLayers) {
    let mut seen = HashSet::new();
    layers.retain(|(layer, _)| seen.insert(layer.chain));
}
