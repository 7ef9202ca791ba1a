//! What images take of the disk: the layers that containers stand on, and the blobs that they came as
//! or will go as. Several images can have the same.

use std::collections::{HashMap, HashSet};

use super::Images;
use super::catalog::Catalog;
use super::digest::{ChainId, Digest, ImageId};
use crate::error::{Kind, Result};

/// What all images take of the disk, at one moment.
pub struct ImagesOnDisk {
    of: HashMap<ImageId, HashSet<Piece>>,
    sizes: HashMap<Piece, u64>,
    /// What is on its way to be a blob, or was.
    under_way: u64,
}

/// What images take of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDisk {
    /// Bytes of all that they need.
    pub total: u64,
    /// Those of what others need, too.
    pub shared: u64,
}

/// What is on the disk for one image or several.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Piece {
    Blob(Digest),
    Layer(ChainId),
}

impl Images {
    /// What all images take of the disk. Layers that are new are measured, file by file.
    pub async fn on_disk(&self) -> Result<ImagesOnDisk> {
        self.blocking(ImagesOnDisk::measure).await
    }
}

impl ImagesOnDisk {
    fn measure(catalog: &Catalog) -> Result<Self> {
        let of: HashMap<ImageId, HashSet<Piece>> = {
            let index = catalog.read();
            let pieces = |id| {
                let (blobs, layers) = index.needs(id);
                let blobs = blobs.into_iter().map(Piece::Blob);
                blobs.chain(layers.into_iter().map(Piece::Layer)).collect()
            };
            index.list().iter().map(|image| (image.id, pieces(image.id))).collect()
        };
        let mut sizes = HashMap::new();
        for piece in of.values().flatten() {
            if !sizes.contains_key(piece) {
                sizes.insert(*piece, catalog.measure(*piece)?);
            }
        }
        let under_way = catalog.blobs.under_way_on_disk()?;
        Ok(Self { of, sizes, under_way })
    }

    /// Bytes of all images, and of what is kept of those that did not come whole.
    pub fn total(&self) -> u64 {
        self.sizes.values().sum::<u64>() + self.under_way
    }

    /// What these images take together.
    pub fn of(&self, images: &[ImageId]) -> OnDisk {
        let own: HashSet<&Piece> =
            images.iter().filter_map(|id| self.of.get(id)).flatten().collect();
        let others = self.of.iter().filter(|(id, _)| !images.contains(id));
        let others: HashSet<&Piece> = others.flat_map(|(_, pieces)| pieces).collect();
        let size = |piece: &&Piece| self.sizes.get(*piece).copied().unwrap_or_default();
        OnDisk {
            total: own.iter().map(size).sum(),
            shared: own.iter().filter(|piece| others.contains(**piece)).map(size).sum(),
        }
    }
}

impl Catalog {
    fn measure(&self, piece: Piece) -> Result<u64> {
        match piece {
            Piece::Blob(digest) => Ok(self.blobs.on_disk(digest)),
            Piece::Layer(chain) => match self.layers.on_disk(chain) {
                // It went while this looked.
                Err(error) if error.kind() == Kind::System && self.layers.find(chain).is_none() => {
                    Ok(0)
                }
                measured => measured,
            },
        }
    }
}
