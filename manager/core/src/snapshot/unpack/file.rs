//! A file's data, from the archive to the disk.

use std::io::{self, BufRead};
use std::os::fd::BorrowedFd;

use super::metadata::failed;
use crate::disk::Streamed;
use crate::error::{Error, Result};
use crate::image::archive::{Archive, Segment};

/// Files from this size on get their space in one piece, and a full disk is noticed early,
const RESERVE_FROM: u64 = 1 << 20;
/// but not more of it at once: their size is only what the archive says.
const RESERVE_MOST: u64 = 64 << 20;

/// Writes the data that is next in `archive` into the new file `file` of `size` bytes.
pub(crate) fn fill<R: BufRead>(
    file: BorrowedFd<'_>,
    size: u64,
    segments: Option<&[Segment]>,
    archive: &mut Archive<R>,
) -> Result<()> {
    let Some(segments) = segments else {
        if size >= RESERVE_FROM && archive.data()?.len() as u64 != 0 {
            reserve(file, size.min(RESERVE_MOST))?;
        }
        return copy(file, 0, size, archive);
    };
    rustix::fs::ftruncate(file, size).map_err(|errno| failed("set the file's size", errno))?;
    for segment in segments {
        copy(file, segment.offset, segment.length, archive)?;
    }
    Ok(())
}

fn reserve(file: BorrowedFd<'_>, size: u64) -> Result<()> {
    // The size is only the archive's word: keep the file as long as what was really written.
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size) {
        Err(errno @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => {
            Err(failed("reserve the file's space", errno))
        }
        // Not every file system can.
        _ => Ok(()),
    }
}

fn copy<R: BufRead>(
    file: BorrowedFd<'_>,
    mut offset: u64,
    mut length: u64,
    archive: &mut Archive<R>,
) -> Result<()> {
    let mut streamed = Streamed::from(offset);
    while length > 0 {
        let piece = archive.data()?;
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(piece.len());
        let written = rustix::io::pwrite(file, &piece[..wanted], offset)
            .map_err(|errno| failed("write the file", errno))?;
        if written == 0 {
            let error = io::Error::from(io::ErrorKind::WriteZero);
            return Err(Error::io("write the file", error));
        }
        archive.consume(written);
        offset += written as u64;
        length -= written as u64;
        streamed.wrote(file, offset);
    }
    streamed.end(file, offset);
    Ok(())
}
