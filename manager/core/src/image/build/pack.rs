//! What a step wrote becomes a layer: at once, for the next step, and as a blob, whose digest says what
//! it is.

use std::io::{BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Building;
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::blobs::Ingested;
use crate::image::compression::Compression;
use crate::image::digest::{ChainId, DiffId};
use crate::image::image::Blob;
use crate::image::pipe::pipe;
use crate::snapshot::compare::made_upon;
use crate::snapshot::lowers::{Lowers, Seen};
use crate::snapshot::pack::{Made, Packer, Tree};
use crate::snapshot::{Draft, Lower, SnapshotId, Unpacked, Written as Upper};
use crate::threads;

/// Bytes of an archive that are written at once.
const BUFFER: usize = 256 << 10;

/// What a step wrote, for the steps upon it.
pub(crate) enum Written {
    /// It is a layer as it is; what is in it has to be packed still.
    Adopted(Arc<Unpacked>),
    /// It had to be packed to become a layer.
    Packed(Arc<Unpacked>, Packed),
}

/// The content of a layer as a blob; no record names it.
pub(crate) struct Packed {
    /// What it is.
    pub(crate) diff_id: DiffId,
    /// The blob.
    pub(in crate::image) blob: Ingested,
    media_type: &'static str,
}

impl Packed {
    /// The blob, as images have it.
    pub(crate) fn describe(&self) -> Blob {
        self.blob.describe(self.media_type)
    }
}

impl Building<'_> {
    /// Makes a layer of what was written upon `below`, of which `stack` is the layers, uppermost first.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk.
    pub(crate) fn write(
        &self,
        draft: Draft,
        below: Option<ChainId>,
        stack: &[SnapshotId],
    ) -> Result<Written> {
        let layers = &self.0.layers;
        if layers.adopts(&draft) {
            return Ok(Written::Adopted(Arc::new(layers.adopt(draft)?)));
        }
        let lowers = layers.lowers_of(stack);
        let own = layers.written(&draft)?;
        let (writer, reader) = pipe();
        let received = std::thread::scope(|scope| {
            let packing = threads::start(scope, "pack", || -> Result<()> {
                let writer = pack(own, &lowers, writer)?;
                writer.end().map_err(|error| Error::io("write the archive", error))
            })?;
            let received = self.receive(reader, below, stack, &GivenUp::default());
            threads::join(packing)??;
            received
        })?;
        let (unpacked, packed) = received;
        Ok(Written::Packed(unpacked, packed))
    }

    /// Makes a layer of an archive that comes from elsewhere, upon `below`, of which `stack` is the
    /// layers, uppermost first.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what is no layer.
    pub(crate) fn receive(
        &self,
        archive: impl Read + Send + 'static,
        below: Option<ChainId>,
        stack: &[SnapshotId],
        given_up: &GivenUp,
    ) -> Result<(Arc<Unpacked>, Packed)> {
        let stack: Vec<Lower> = stack.iter().copied().map(Lower::from).collect();
        let received = self.0.receive_upon(archive, below, stack, given_up)?;
        let (unpacked, diff_id) = (received.layer.unpacked, received.layer.diff_id);
        let packed = Packed { diff_id, blob: received.blob, media_type: received.media_type };
        Ok((unpacked, packed))
    }

    /// Packs a layer that was adopted.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk.
    pub(crate) fn pack(&self, layer: &Unpacked) -> Result<Packed> {
        let own = Upper::Changes(self.0.layers.files(layer)?);
        let mut ingest = self.0.blobs.create()?;
        let nothing = self.0.layers.lowers_of(&[]);
        let to = pack(own, &nothing, BufWriter::with_capacity(BUFFER, &mut ingest))?;
        to.into_inner().map_err(|error| Error::io("write a layer", error.into_error()))?;
        let blob = ingest.finish();
        let media_type = Compression::None
            .layer_media_type()
            .ok_or_else(|| Error::system("layers that are not compressed have no type"))?;
        Ok(Packed { diff_id: DiffId(blob.digest), blob, media_type })
    }
}

/// Packs all of `own`, which is upon `lowers`.
fn pack<W: Write>(own: Upper, lowers: &Lowers, to: W) -> Result<W> {
    let all = |_: &[u8], _: &Seen| Made::Container;
    // A whole copy has what was there before, too.
    let changed = |path: &[u8], new: &Seen| made_upon(lowers, path, new);
    let names = |path: &[u8]| lowers.names(path);
    let (root, tree): (OwnedFd, _) = match own {
        Upper::Changes(own) => (own, Tree::Upper(&all)),
        Upper::Whole(own) => (own, Tree::Whole { made: &changed, names: &names }),
    };
    let mut packer = Packer::new(to, tree);
    packer.pack(root, None, None).map_err(|error| error.while_doing("pack a layer"))?;
    packer.finish()
}
