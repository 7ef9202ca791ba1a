//! A file's data: shared with the original where the file system can, else copied by the kernel,
//! holes left as holes.

use std::os::fd::BorrowedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Bytes that are copied at once where the kernel doesn't copy itself.
const BUFFER: usize = 256 << 10;

/// Whether files can share their data here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cloning {
    /// Nobody has tried.
    Untried,
    /// They can't.
    Refused,
}

/// Copies the data of `original` to the empty file `copy`.
///
/// # Errors
/// Those of the disk; also if there is less than `size`.
pub fn share_or_copy(
    original: BorrowedFd<'_>,
    copy: BorrowedFd<'_>,
    size: u64,
    cloning: &mut Cloning,
) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    if *cloning == Cloning::Untried {
        match rustix::fs::ioctl_ficlone(copy, original) {
            Ok(()) => return Ok(()),
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => return Err(failed(errno)),
            Err(_) => *cloning = Cloning::Refused,
        }
    }
    copy_data(original, copy, size)
}

/// Copies the `size` bytes of `original` to the empty file `copy`.
///
/// # Errors
/// Also if there are fewer.
pub(in crate::snapshot) fn copy_data(
    original: BorrowedFd<'_>,
    copy: BorrowedFd<'_>,
    size: u64,
) -> Result<()> {
    rustix::fs::ftruncate(copy, size).map_err(failed)?;
    let mut position = 0;
    while position < size {
        let begin = match rustix::fs::seek(original, SeekFrom::Data(position)) {
            Ok(begin) => begin.min(size),
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            // A file system that doesn't tell.
            Err(Errno::INVAL) => position,
            Err(errno) => return Err(failed(errno)),
        };
        let end = match rustix::fs::seek(original, SeekFrom::Hole(begin)) {
            Ok(end) if end > begin => end.min(size),
            Ok(_) | Err(Errno::INVAL | Errno::NXIO) => size,
            Err(errno) => return Err(failed(errno)),
        };
        piece(original, copy, begin, end)?;
        position = end;
    }
    Ok(())
}

/// Copies the bytes from `begin` to `end`.
fn piece(original: BorrowedFd<'_>, copy: BorrowedFd<'_>, begin: u64, end: u64) -> Result<()> {
    let (mut from, mut to) = (begin, begin);
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(original, Some(&mut from), copy, Some(&mut to), length) {
            // The file is shorter than it was said to be.
            Ok(0) => return Err(failed(Errno::IO)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::BADF) => {
                return by_hand(original, copy, from, end);
            }
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

fn by_hand(
    original: BorrowedFd<'_>,
    copy: BorrowedFd<'_>,
    mut position: u64,
    end: u64,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    while position < end {
        let wanted = usize::try_from(end - position).unwrap_or(BUFFER).min(BUFFER);
        let read = match rustix::io::pread(original, &mut buffer[..wanted], position) {
            Ok(0) => return Err(failed(Errno::IO)),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        let mut written = 0;
        while written < read {
            match rustix::io::pwrite(copy, &buffer[written..read], position) {
                Ok(count) => {
                    written += count;
                    position += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
    Ok(())
}

fn failed(errno: Errno) -> Error {
    Error::io("copy a file", errno.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn holes_stay_holes_however_it_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let original = File::create_new(at("original")).unwrap();
        original.write_all_at(b"begin", 0).unwrap();
        original.write_all_at(b"middle", 64 << 20).unwrap();
        original.set_len(128 << 20).unwrap();
        let original = File::open(at("original")).unwrap();
        let mut refused = Cloning::Refused;
        let size = 128 << 20;
        let one = File::create_new(at("one")).unwrap();
        share_or_copy(original.as_fd(), one.as_fd(), size, &mut refused).unwrap();
        let two = File::create_new(at("two")).unwrap();
        two.set_len(size).unwrap();
        by_hand(original.as_fd(), two.as_fd(), (64 << 20) - 4096, (64 << 20) + 4096).unwrap();
        let mut middle = [0; 6];
        for copied in ["one", "two"] {
            let copied = File::open(at(copied)).unwrap();
            assert_eq!(copied.metadata().unwrap().len(), size);
            assert!(copied.metadata().unwrap().blocks() * 512 < 1 << 20);
            copied.read_exact_at(&mut middle, 64 << 20).unwrap();
            assert_eq!(&middle, b"middle");
        }
    }
}
