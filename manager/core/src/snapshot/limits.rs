//! How large a layer may be, whatever it says of itself.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest path of a member, as in the kernel; it bounds the depth of directories, too.
const LONGEST_PATH: usize = 4096;

/// What one layer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of its archive, uncompressed.
    pub bytes: u64,
    /// Members of its archive.
    pub members: u64,
    /// Bytes of address space of the process that unpacks it.
    pub memory: u64,
}

impl Default for Limits {
    /// More than any honest layer has: what is to be stopped is a small blob that becomes endless.
    fn default() -> Self {
        Self { bytes: 256 << 30, members: 16 << 20, memory: 4 << 30 }
    }
}

impl Limits {
    /// What is said of an archive that is larger.
    pub(super) fn exceeded(&self) -> Error {
        let most = self.bytes;
        Error::invalid(format!(
            "the archive can't be read: uncompressed, it has more than the {most} bytes that are allowed"
        ))
    }

    /// A reader of an archive that ends in an error where it becomes too large.
    pub(crate) fn watch<R>(&self, source: R) -> Watched<R> {
        Watched { source, left: self.bytes, most: self.bytes }
    }

    /// Whether the `count`th member, with this path, may be unpacked.
    pub(crate) fn check_member(&self, count: u64, path: &[u8]) -> Result<()> {
        if count > self.members {
            let most = self.members;
            return Err(Error::invalid(format!("the layer has more than {most} files")));
        }
        if path.len() > LONGEST_PATH {
            return Err(Error::invalid(format!(
                "the layer has a path of {} bytes; {LONGEST_PATH} are allowed",
                path.len()
            )));
        }
        Ok(())
    }
}

/// See [`Limits::watch`].
pub(crate) struct Watched<R> {
    source: R,
    left: u64,
    most: u64,
}

impl<R: BufRead> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = self.source.fill_buf()?;
        if piece.len() as u64 > self.left {
            let most = self.most;
            let text = format!("uncompressed, it has more than the {most} bytes that are allowed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(piece)
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
        self.source.consume(count);
    }
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.fill_buf()?;
        let count = piece.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_ends_where_it_is_too_large() {
        let limits = Limits { bytes: 10, ..Limits::default() };
        let mut all = Vec::new();
        limits.watch(&[7; 10][..]).read_to_end(&mut all).unwrap();
        assert_eq!(all, [7; 10]);
        let error = limits.watch(&[7; 11][..]).read_to_end(&mut all).unwrap_err();
        assert!(error.to_string().contains("more than the 10 bytes"), "{error}");
    }

    #[test]
    fn members_are_counted_and_their_paths_measured() {
        let limits = Limits { members: 2, ..Limits::default() };
        limits.check_member(2, b"a").unwrap();
        limits.check_member(3, b"a").unwrap_err();
        limits.check_member(1, &[b'a'; 4096]).unwrap();
        limits.check_member(1, &[b'a'; 4097]).unwrap_err();
    }
}
