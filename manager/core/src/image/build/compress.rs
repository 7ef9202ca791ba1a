//! The layers of a build as they go out: compressed, or not.

use std::io::{self, BufRead, BufReader, Read, Write};

use super::{Building, Kept};
use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::blobs::Ingested;
use crate::image::compression::Compression;
use crate::image::image::{Blob, Layer};
use crate::image::push::compress::gzip;

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// How hard zstd tries, which is its own choice.
const ZSTD_LEVEL: i32 = 0;

/// How layers are to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// As gzip.
    Gzip,
    /// As zstd.
    Zstd,
}

/// Which layers are compressed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repack {
    /// Those that are not compressed.
    Plain,
    /// All that are not compressed so.
    Others,
}

impl Packing {
    fn compression(self) -> Compression {
        match self {
            Self::Plain => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
        }
    }
}

impl Building<'_> {
    /// The blobs of these layers, which are recorded, compressed so; what keeps them.
    ///
    /// # Errors
    /// [`crate::Kind::Exhausted`] on a full disk; a damaged blob.
    pub(crate) fn packed(
        &self,
        layers: &[Layer],
        packing: Packing,
        repack: Repack,
        given_up: &GivenUp,
    ) -> Result<(Vec<Layer>, Kept)> {
        let (mut all, mut made) = (Vec::with_capacity(layers.len()), Vec::new());
        for layer in layers {
            if stays(&layer.blob, packing, repack) {
                all.push(layer.clone());
                continue;
            }
            let blob = self.compress(layer, packing, given_up)?;
            let media_type = packing.compression().layer_media_type().unwrap_or_default();
            all.push(Layer { blob: blob.describe(media_type), ..layer.clone() });
            made.push(blob);
        }
        let kept = self.hold(&all);
        for blob in &made {
            self.0.blobs.adopt(blob)?;
        }
        Ok((all, kept))
    }

    fn compress(&self, layer: &Layer, packing: Packing, given_up: &GivenUp) -> Result<Ingested> {
        let catalog = self.0;
        let failed = |error: io::Error| {
            Error::io(format_args!("compress the layer {}", layer.diff_id), error)
        };
        let mut to = catalog.blobs.create()?;
        if is_plain(&layer.blob) {
            let source = catalog.blobs.checked(layer.blob.digest, layer.blob.size)?;
            encode(given_up.reader(source), packing, &mut to).map_err(failed)?;
            return Ok(to.finish());
        }
        catalog.blobs.verify(&layer.blob)?;
        let source = catalog.blobs.read(layer.blob.digest)?;
        let mut source = BufReader::with_capacity(BUFFER, source);
        let compression = Compression::detect(source.fill_buf().map_err(failed)?)?;
        let source = catalog.layers.uncompressed(source, compression, given_up)?;
        encode(source, packing, &mut to).map_err(failed)?;
        Ok(to.finish())
    }
}

fn encode(mut source: impl Read + Send, packing: Packing, to: &mut impl Write) -> io::Result<()> {
    match packing {
        Packing::Plain => io::copy(&mut source, to).map(drop),
        Packing::Gzip => gzip(source, to),
        Packing::Zstd => zstd::stream::copy_encode(source, to, ZSTD_LEVEL),
    }
}

/// Whether a blob goes out as it is.
fn stays(blob: &Blob, packing: Packing, repack: Repack) -> bool {
    let is_wanted = packing.compression().layer_media_type() == Some(blob.media_type.as_str());
    is_wanted || (!is_plain(blob) && repack == Repack::Plain)
}

fn is_plain(blob: &Blob) -> bool {
    blob.media_type.ends_with(".tar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::archive::testing::{Member, tar_of};
    use crate::image::testing::{import, open};

    #[tokio::test]
    async fn layers_are_compressed_as_asked_and_only_then() {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path());
        let image = import(&images, &tar_of(&[Member::file("a", &[7; 50_000])]), Some("x")).await;
        let building = images.building();
        let packed = |layers: &[Layer], packing, repack| {
            building.packed(layers, packing, repack, &GivenUp::default()).unwrap()
        };
        let (same, _) = packed(&image.layers, Packing::Plain, Repack::Plain);
        assert_eq!(same, image.layers);
        let (gzip, _kept) = packed(&image.layers, Packing::Gzip, Repack::Plain);
        assert!(gzip[0].blob.media_type.ends_with("tar+gzip"));
        assert!(gzip[0].blob.size < 5_000 && gzip[0].diff_id == image.layers[0].diff_id);
        let (still, _) = packed(&gzip, Packing::Zstd, Repack::Plain);
        assert_eq!(still, gzip);
        let (zstd, _kept) = packed(&gzip, Packing::Zstd, Repack::Others);
        assert!(zstd[0].blob.media_type.ends_with("tar+zstd"));
        let (plain, _) = packed(&zstd, Packing::Plain, Repack::Others);
        assert_eq!(plain[0].blob, image.layers[0].blob);
    }
}
