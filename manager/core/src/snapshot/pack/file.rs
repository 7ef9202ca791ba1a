//! One thing of the tree becomes one member of the archive.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, SeekFrom, Stat};
use rustix::io::Errno;

use super::walk::{failed, is_gone, reopen};
use super::{Made, Packer, Tree, marks};
use crate::error::{Error, Result};
use crate::image::archive::{Entry, EntryKind, ModifiedAt, Segment};
use crate::snapshot::lowers::Seen;
use crate::snapshot::marks::Marks;
use crate::snapshot::unpack::metadata;

/// Bytes that are read at once.
pub(super) const BUFFER: usize = 256 << 10;
/// Holes of less than this in all are written as zeros: not every reader knows sparse files.
const WORTH_A_MAP: u64 = 1 << 20;
/// Segments of a file; one with more is written whole.
const MOST_SEGMENTS: usize = 1 << 16;

impl<W: Write> Packer<'_, W> {
    /// Packs what `handle` is of, alone, as `shown`.
    pub(super) fn member(&mut self, handle: &OwnedFd, stat: &Stat, shown: &[u8]) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut made = Made::Container;
        if let Tree::Upper(made_by) | Tree::Whole { made: made_by, .. } = self.tree {
            marks::check_name(shown)?;
            if matches!(self.tree, Tree::Upper(_)) && Marks::Overlay.is_whiteout(stat) {
                return self.whiteout(shown, modified(stat));
            }
            let handle = handle.try_clone().map_err(|error| Error::io("keep a file", error))?;
            made = made_by(shown, &Seen { handle, stat: *stat });
            if made == Made::Other {
                return Ok(());
            }
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let first =
                self.seen.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| shown.to_vec());
            if first != shown {
                let target = first.clone();
                return self.append(&entry(stat, shown, EntryKind::HardLink { target }));
            }
        }
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match kind {
            FileType::RegularFile => return self.file(handle, stat, shown),
            FileType::Directory => return self.directory(handle, stat, shown, made),
            FileType::Symlink => match rustix::fs::readlinkat(handle, "", Vec::new()) {
                Ok(target) => EntryKind::Symlink { target: target.into_bytes() },
                Err(errno) => return Err(failed(shown, errno)),
            },
            FileType::CharacterDevice => EntryKind::CharacterDevice { major, minor },
            FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
            FileType::Fifo => EntryKind::Fifo,
            // A socket means nothing without the process that listens on it, and tar has none.
            FileType::Socket | FileType::Unknown => return Ok(()),
        };
        self.append(&entry(stat, shown, kind))
    }

    fn directory(&mut self, handle: &OwnedFd, stat: &Stat, shown: &[u8], made: Made) -> Result<()> {
        let attributes = match reopen(handle) {
            Ok(directory) => self.attributes(directory.as_fd())?,
            Err(errno) if is_gone(errno) => return Ok(()),
            Err(errno) => return Err(failed(shown, errno)),
        };
        let mut shown = shown.to_vec();
        if !shown.ends_with(b"/") {
            shown.push(b'/');
        }
        let entry = Entry { attributes, ..entry(stat, &shown, EntryKind::Directory) };
        if made == Made::OtherAround {
            self.leave(&entry.path);
            self.around.push(entry);
            return Ok(());
        }
        self.append(&entry)
    }

    fn file(&mut self, handle: &OwnedFd, stat: &Stat, shown: &[u8]) -> Result<()> {
        let file = match reopen(handle) {
            Ok(file) => file,
            Err(errno) if is_gone(errno) => return Ok(()),
            Err(errno) => return Err(failed(shown, errno)),
        };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let segments = segments(&file, size).map_err(|errno| failed(shown, errno))?;
        let kind = EntryKind::File { size, segments: segments.clone() };
        let attributes = self.attributes(file.as_fd())?;
        self.append(&Entry { attributes, ..entry(stat, shown, kind) })?;
        let all = [Segment { offset: 0, length: size }];
        for segment in segments.as_deref().unwrap_or(&all) {
            self.copy(&file, *segment).map_err(|error| {
                let shown = String::from_utf8_lossy(shown);
                error.while_doing(format_args!("read {shown:?}"))
            })?;
        }
        Ok(())
    }

    /// The extended attributes that go with a file. A copy for whoever asks has its capabilities
    /// alone, as in docker: others may mean nothing where it goes, and fail there.
    fn attributes(&self, file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut attributes = metadata::attributes(file)?;
        if matches!(self.tree, Tree::Seen(_)) {
            attributes.retain(|(name, _)| name == b"security.capability");
        }
        Ok(attributes)
    }

    /// Copies a part of a file; if it has become shorter, zeros.
    fn copy(&mut self, file: &OwnedFd, segment: Segment) -> Result<()> {
        let Segment { mut offset, mut length } = segment;
        while length > 0 {
            let wanted = usize::try_from(length).unwrap_or(BUFFER).min(BUFFER);
            let read = match rustix::io::pread(file, &mut self.buffer[..wanted], offset) {
                Ok(0) => {
                    self.buffer[..wanted].fill(0);
                    wanted
                }
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::io("read", errno.into())),
            };
            self.archive.data(&self.buffer[..read])?;
            offset += read as u64;
            length -= read as u64;
        }
        Ok(())
    }

    /// The mark of something deleted.
    pub(super) fn whiteout(&mut self, shown: &[u8], modified: ModifiedAt) -> Result<()> {
        self.mark(marks::whiteout(shown), modified)
    }

    /// The mark of a directory that hides what lies below it.
    pub(super) fn opaque_mark(&mut self, directory: &[u8]) -> Result<()> {
        self.mark(marks::opaque(directory), ModifiedAt::default())
    }

    fn mark(&mut self, path: Vec<u8>, modified: ModifiedAt) -> Result<()> {
        let kind = EntryKind::File { size: 0, segments: None };
        let attributes = Vec::new();
        self.append(&Entry { path, kind, mode: 0o600, uid: 0, gid: 0, modified, attributes })
    }
}

fn entry(stat: &Stat, shown: &[u8], kind: EntryKind) -> Entry {
    Entry {
        path: shown.to_vec(),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: modified(stat),
        attributes: Vec::new(),
    }
}

pub(super) fn modified(stat: &Stat) -> ModifiedAt {
    ModifiedAt {
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    }
}

/// Where a file has data, if it has holes that are worth it.
///
/// The file system is asked, whatever number of blocks it says that the file takes: EROFS says that
/// of a full one.
fn segments(file: &OwnedFd, size: u64) -> Result<Option<Vec<Segment>>, Errno> {
    if size < WORTH_A_MAP {
        return Ok(None);
    }
    let mut segments = Vec::new();
    let mut position = 0;
    while position < size {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(position)) {
            Ok(begin) => begin.min(size),
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            // A file system that doesn't tell.
            Err(Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let end = match rustix::fs::seek(file, SeekFrom::Hole(begin)) {
            Ok(end) => end.min(size),
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        if segments.len() == MOST_SEGMENTS || end <= begin {
            return Ok(None);
        }
        segments.push(Segment { offset: begin, length: end - begin });
        position = end;
    }
    let stored: u64 = segments.iter().map(|segment| segment.length).sum();
    if size - stored < WORTH_A_MAP {
        return Ok(None);
    }
    // GNU tar takes a file's size from the end of its last segment, which may be an empty one.
    if segments.last().is_none_or(|last: &Segment| last.offset + last.length < size) {
        segments.push(Segment { offset: size, length: 0 });
    }
    Ok(Some(segments))
}
