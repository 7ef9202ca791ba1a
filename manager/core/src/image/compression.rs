//! Compressed streams, told apart by their first bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The window that a zstd stream may ask for, as a power of two: 128 MiB, zstd's own limit for
/// what it was not told to expect.
const LARGEST_ZSTD_WINDOW: u32 = 27;

/// The memory, in KiB, that an xz stream may ask for: `xz -9` needs half of it.
const MOST_XZ_MEMORY: u32 = 128 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
}

impl Compression {
    /// Tells by the first bytes of a stream.
    ///
    /// # Errors
    /// [`crate::Kind::Unsupported`] names a compression that is known but not read.
    pub(crate) fn detect(start: &[u8]) -> Result<Self> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // A skippable frame, with which some tools begin.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err(Error::unsupported("bzip2 compression")),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Self::Xz),
            _ => Ok(Self::None),
        }
    }

    /// The media type of a layer that is compressed so; none: OCI has none, and it can't be kept
    /// as it is.
    pub(crate) fn layer_media_type(self) -> Option<&'static str> {
        match self {
            Self::None => Some("application/vnd.oci.image.layer.v1.tar"),
            Self::Gzip => Some("application/vnd.oci.image.layer.v1.tar+gzip"),
            Self::Zstd => Some("application/vnd.oci.image.layer.v1.tar+zstd"),
            Self::Xz => None,
        }
    }

    /// The uncompressed content of `source`.
    pub(crate) fn decoder<R: BufRead>(self, source: R) -> Result<Decoder<R>> {
        Ok(match self {
            Self::None => Decoder::None(source),
            Self::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(source))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)
                    .map_err(|error| Error::io("start zstd", error))?;
                decoder
                    .window_log_max(LARGEST_ZSTD_WINDOW)
                    .map_err(|error| Error::io("start zstd", error))?;
                Decoder::Zstd(decoder)
            }
            Self::Xz => {
                let decoder = XzReader::new_mem_limit(source, true, MOST_XZ_MEMORY);
                Decoder::Xz(Box::new(decoder))
            }
        })
    }
}

/// A stream that is uncompressed while it is read.
pub(crate) enum Decoder<R: BufRead> {
    None(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
    Xz(Box<XzReader<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Reads the content, then the source's bytes after the compressed stream's end.
    pub(crate) fn draining(self) -> impl Read + use<R> {
        Draining(Some(self))
    }

    /// Reads the source's bytes after the compressed stream's end.
    pub(crate) fn drain(self) -> io::Result<()> {
        let mut source = match self {
            Self::None(source) => source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
            Self::Xz(decoder) => decoder.into_inner(),
        };
        io::copy(&mut source, &mut io::sink()).map(drop)
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (name, read) = match self {
            Self::None(source) => return source.read(buffer),
            Self::Gzip(decoder) => ("gzip", decoder.read(buffer)),
            Self::Zstd(decoder) => ("zstd", decoder.read(buffer)),
            Self::Xz(decoder) => ("xz", decoder.read(buffer)),
        };
        // What the source itself failed at keeps its number; a cut keeps its kind.
        read.map_err(|error| match (error.raw_os_error(), error.kind()) {
            (Some(_), _) | (_, io::ErrorKind::UnexpectedEof) => error,
            (None, kind) => io::Error::new(kind, format!("its {name} stream is damaged: {error}")),
        })
    }
}

/// See [`Decoder::draining`].
struct Draining<R: BufRead>(Option<Decoder<R>>);

impl<R: BufRead> Read for Draining<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.0 else { return Ok(0) };
        let count = decoder.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let Some(decoder) = self.0.take()
        {
            decoder.drain()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut decoder = Compression::detect(bytes).unwrap().decoder(bytes).unwrap();
        decoder.read_to_end(&mut content)?;
        decoder.drain()?;
        Ok(content)
    }

    #[test]
    fn each_kind_is_told_and_read() {
        let content = vec![42; 100_000];
        let zstd = zstd::encode_all(content.as_slice(), 1).unwrap();
        assert_eq!(Compression::detect(&zstd).unwrap(), Compression::Zstd);
        assert_eq!(decode(&zstd).unwrap(), content);
        assert_eq!(decode(&gzip(&content)).unwrap(), content);
        assert_eq!(decode(&content).unwrap(), content);
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(decode(&two).unwrap(), b"onetwo");
        assert_eq!(decode(b"").unwrap(), b"");
    }

    /// `printf tare | xz`.
    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a30100037461726500a20ae18a99ec669c00011c046f2c9cc11fb6f37d010000000004595a";

    #[test]
    fn xz_is_read_and_its_checksum_verified() {
        let mut bytes = hex::decode(XZ).unwrap();
        assert_eq!(decode(&bytes).unwrap(), b"tare");
        assert!(decode(&bytes[..bytes.len() - 4]).is_err());
        bytes[28] ^= 1;
        assert!(decode(&bytes).is_err());
    }

    #[test]
    fn damage_and_cuts_are_errors() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let (gzip, zstd) = (gzip(&content), zstd::encode_all(content.as_slice(), 1).unwrap());
        assert!(decode(&gzip[..gzip.len() / 2]).is_err());
        assert!(decode(&zstd[..zstd.len() / 2]).is_err());
        // A zstd stream need not have a checksum.
        let mut damaged = gzip;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(decode(&damaged).is_err());
    }

    #[test]
    fn what_is_not_read_is_named() {
        let error = Compression::detect(b"BZh91AY").unwrap_err();
        assert!(error.to_string().starts_with("bzip2 compression is not supported"));
    }
}
