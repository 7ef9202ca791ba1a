//! The fixed fields of a header block.

use tar::Header;

use super::entry::ModifiedAt;
use crate::error::{Error, Result};

/// Bytes of a block; headers and padded data are whole blocks.
pub(crate) const BLOCK: usize = 512;

/// One header block.
pub(crate) type Block = [u8; BLOCK];

/// Checks the sum of a header block.
pub(super) fn verify(block: &Block, at: u64) -> Result<()> {
    let header = Header::from_byte_slice(block);
    let stated = number(&header.as_old().cksum, "checksum");
    let field = 148..156;
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (position, byte) in block.iter().enumerate() {
        let byte = if field.contains(&position) { b' ' } else { *byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    match stated {
        Ok(sum) if sum == unsigned || sum == signed => Ok(()),
        _ => Err(Error::invalid(format!(
            "invalid tar header at byte {at}: this is not a tar archive, or it is damaged"
        ))),
    }
}

/// Whether a block can be the first of an archive.
pub(crate) fn begins_archive(block: &Block) -> bool {
    verify(block, 0).is_ok()
}

/// The fields that a later PAX record may override.
pub(super) struct Fields {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) modified: ModifiedAt,
    pub(super) device: (u32, u32),
}

impl Fields {
    /// Reads the fields of a header whose sum is right.
    pub(super) fn read(header: &Header) -> Result<Self> {
        let old = header.as_old();
        let device = match (header.as_ustar(), header.as_gnu()) {
            (Some(ustar), _) => Some((&ustar.dev_major, &ustar.dev_minor)),
            (_, Some(gnu)) => Some((&gnu.dev_major, &gnu.dev_minor)),
            (None, None) => None,
        };
        let device = match device {
            Some((major, minor)) => (unsigned(major, "device")?, unsigned(minor, "device")?),
            None => (0, 0),
        };
        let mode: u32 = unsigned(&old.mode, "mode")?;
        Ok(Self {
            path: header.path_bytes().into_owned(),
            link: header.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default(),
            mode: mode & 0o7777,
            uid: owner(number(&old.uid, "uid")?)?,
            gid: owner(number(&old.gid, "gid")?)?,
            size: unsigned(&old.size, "size")?,
            modified: ModifiedAt { seconds: number(&old.mtime, "mtime")?, nanoseconds: 0 },
            device,
        })
    }
}

/// A user or group number; the highest one means "nobody" to the kernel and is refused.
pub(super) fn owner(number: i64) -> Result<u32> {
    match u32::try_from(number) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::invalid(format!("the archive has the impossible owner {number}"))),
    }
}

fn unsigned<T: TryFrom<i64>>(field: &[u8], name: &str) -> Result<T> {
    let value = number(field, name)?;
    T::try_from(value).map_err(|_| bad_field(name, field))
}

/// A numeric field: octal digits, or big-endian binary when the first bit is set. Blank is zero.
pub(super) fn number(field: &[u8], name: &str) -> Result<i64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        return binary(field).ok_or_else(|| bad_field(name, field));
    }
    let digits = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    let mut value: i64 = 0;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'7' => i64::from(digit - b'0'),
            _ => return Err(bad_field(name, field)),
        };
        // Twelve octal digits are far from overflowing.
        value = value * 8 + digit;
    }
    Ok(value)
}

fn binary(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // The flag bit is no part of the number; the one after it is its sign.
    let mut value = i128::from((first << 1).cast_signed() >> 1);
    for byte in rest {
        value = (value << 8) | i128::from(*byte);
    }
    i64::try_from(value).ok()
}

fn bad_field(name: &str, field: &[u8]) -> Error {
    let text = String::from_utf8_lossy(field);
    Error::invalid(format!("invalid tar header: its {name} is {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_blank_or_binary() {
        assert_eq!(number(b"0000644\0", "mode").unwrap(), 0o644);
        assert_eq!(number(b"   755 \0", "mode").unwrap(), 0o755);
        assert_eq!(number(b"\0\0\0\0\0\0\0\0", "mode").unwrap(), 0);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0x20, 0, 1], "uid").unwrap(), 0x20_0001);
        assert_eq!(number(&[0xff; 12], "mtime").unwrap(), -1);
        assert_eq!(number(&[0xff, 255, 255, 255, 255, 255, 255, 0], "uid").unwrap(), -256);
        assert!(number(b"0000648\0", "mode").is_err());
        assert!(number(&[0xbf; 12], "size").is_err());
    }

    #[test]
    fn no_owner_is_beyond_32_bits() {
        assert_eq!(owner(4_294_967_294).unwrap(), 4_294_967_294);
        assert!(owner(4_294_967_295).is_err());
        assert!(owner(-1).is_err());
    }
}
