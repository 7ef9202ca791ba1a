//! Looks an image over before the kernel mounts it.
//!
//! Whoever wrote an image read untrusted archives before, and may have been taken over by one. The
//! kernel is only given what [`crate::finish`] could have written: each inode that a name leads to
//! is looked at, and all that the kernel would follow from there. Little is held in memory, however
//! large the image is.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::attributes;
use crate::data::{LARGEST_CHUNK_BITS, MOST_CHUNKS, START};
use crate::directory;
use crate::disk::{
    BLOCK, BLOCK_BITS, Form, HOLE, INODE, Inode, SLOT, SUPERBLOCK, SUPERBLOCK_AT, Superblock,
};
use crate::layout::FIRST_INODE;
use crate::tree::LONGEST_TARGET;

/// Bytes that are read at once.
const WINDOW: usize = 64 << 10;

/// Looks `image` over. `may_have` says which extended attributes may be in it, by name and value.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what this library doesn't write; and the disk's.
pub fn check(image: &File, may_have: impl Fn(&[u8], &[u8]) -> bool) -> io::Result<()> {
    let mut bytes = [0; SUPERBLOCK];
    image.read_exact_at(&mut bytes, SUPERBLOCK_AT)?;
    let superblock = Superblock::decode(&bytes).ok_or_else(|| wrong("superblock"))?;
    let mut check = Check {
        metadata: u64::from(superblock.metadata) << BLOCK_BITS,
        end: u64::from(superblock.blocks) << BLOCK_BITS,
        has_chunks: superblock.chunks,
        inodes: Window::new(image),
        blocks: Window::new(image),
        may_have: &may_have,
    };
    if image.metadata()?.len() != check.end || !(START..=check.end).contains(&check.metadata) {
        return Err(wrong("size"));
    }
    let root = check.inode(superblock.root.into())?;
    if root.kind != Kind::Directory {
        return Err(wrong("root directory"));
    }
    // A directory has one name only, so that every walk ends.
    let mut seen = HashSet::from([root.number]);
    let mut ahead = vec![(root.number, root)];
    while let Some((parent, directory)) = ahead.pop() {
        for child in check.directory(&directory, parent)? {
            if !seen.insert(child.number) {
                return Err(wrong("tree of directories"));
            }
            ahead.push((directory.number, child));
        }
    }
    Ok(())
}

struct Check<'a> {
    /// Where the data ends and the metadata starts.
    metadata: u64,
    /// Where the metadata ends.
    end: u64,
    /// Whether the superblock says that there are chunks.
    has_chunks: bool,
    inodes: Window<'a>,
    blocks: Window<'a>,
    may_have: &'a dyn Fn(&[u8], &[u8]) -> bool,
}

/// An inode that was looked at.
struct Found {
    number: u64,
    kind: Kind,
    inode: Inode,
    /// Where its attributes end.
    after: u64,
}

/// Types of files, by the numbers that names say of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File = 1,
    Directory = 2,
    CharacterDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Symlink = 7,
}

impl Check<'_> {
    /// Looks an inode over, with all that belongs to it but the names in a directory.
    fn inode(&mut self, number: u64) -> io::Result<Found> {
        let at = number.checked_mul(SLOT).and_then(|offset| offset.checked_add(self.metadata));
        let at = at.filter(|at| number * SLOT >= FIRST_INODE && *at < self.end);
        let at = at.ok_or_else(|| wrong("number of an inode"))?;
        let inode = Inode::decode(self.inodes.get(at, INODE as usize)?);
        let inode = inode
            .filter(|inode| u64::from(inode.number) == number && inode.nanoseconds < 1_000_000_000);
        let inode = inode.ok_or_else(|| wrong("inode"))?;
        let kind = Kind::of(inode.mode).ok_or_else(|| wrong("type of a file"))?;
        let size = attributes::size_of_count(inode.attribute_count);
        let after = at + INODE + size as u64;
        let attributes = attributes::decode(self.inodes.get(at + INODE, size)?);
        let allowed = attributes
            .is_some_and(|all| all.iter().all(|(name, value)| (self.may_have)(name, value)));
        let found = Found { number, kind, inode, after };
        if !allowed || after > self.end || !self.content(&found)? {
            return Err(wrong("inode"));
        }
        Ok(found)
    }

    /// Whether the content of what was found lies where it may.
    fn content(&mut self, found: &Found) -> io::Result<bool> {
        let Found { kind, inode: Inode { form, size, place, .. }, .. } = *found;
        Ok(match (kind, form) {
            (Kind::File, Form::Plain) => lies_in(place, size, START, self.metadata),
            (Kind::File, Form::Chunks) => self.has_chunks && self.chunks(found)?,
            (Kind::Directory, Form::Plain | Form::Inline) => size > 0 && self.is_near(found),
            (Kind::Symlink, Form::Plain | Form::Inline) => {
                (1..=LONGEST_TARGET as u64).contains(&size)
                    && self.is_near(found)
                    && !self.target(found)?.contains(&0)
            }
            (Kind::CharacterDevice | Kind::BlockDevice, Form::Plain) => size == 0,
            (Kind::Fifo, Form::Plain) => size == 0 && place == 0,
            _ => false,
        })
    }

    fn chunks(&mut self, found: &Found) -> io::Result<bool> {
        let bits = BLOCK_BITS.saturating_add(found.inode.place);
        if bits > LARGEST_CHUNK_BITS || found.inode.size >> bits > MOST_CHUNKS {
            return Ok(false);
        }
        let count = found.inode.size.div_ceil(1 << bits) as usize;
        let starts = self.inodes.get(found.after, 4 * count)?;
        Ok(starts.as_chunks().0.iter().all(|start| {
            let start = u32::from_le_bytes(*start);
            start == HOLE || lies_in(start, 1 << bits, START, self.metadata)
        }))
    }

    /// Whether the content of a directory or link is all among the metadata.
    fn is_near(&self, found: &Found) -> bool {
        let Inode { form, size, place, .. } = found.inode;
        let inline = if form == Form::Inline { size % BLOCK } else { 0 };
        let fits = found.after % BLOCK + inline <= BLOCK && found.after + inline <= self.end;
        fits && (form != Form::Inline || inline > 0)
            && lies_in(place, size - inline, self.metadata, self.end)
    }

    /// The block `index` of the content of a directory or link.
    fn block(&mut self, found: &Found, index: u64) -> io::Result<Vec<u8>> {
        let Inode { form, size, place, .. } = found.inode;
        let left = size - index * BLOCK;
        let length = left.min(BLOCK) as usize;
        let bytes = match form == Form::Inline && left < BLOCK {
            true => self.inodes.get(found.after, length)?,
            false => self.blocks.get((u64::from(place) + index) << BLOCK_BITS, length)?,
        };
        Ok(bytes.to_vec())
    }

    fn target(&mut self, link: &Found) -> io::Result<Vec<u8>> {
        let mut target = Vec::new();
        for index in 0..link.inode.size.div_ceil(BLOCK) {
            target.extend(self.block(link, index)?);
        }
        Ok(target)
    }

    /// Looks over all names in a directory, and what they lead to. Returns the directories in it.
    fn directory(&mut self, directory: &Found, parent: u64) -> io::Result<Vec<Found>> {
        let mut inner = Vec::new();
        let mut last = Vec::new();
        let mut own = 0;
        let count = directory.inode.size.div_ceil(BLOCK);
        for index in 0..count {
            let block = self.block(directory, index)?;
            let entries = directory::decode(&block, index + 1 == count);
            for entry in entries.ok_or_else(|| wrong("directory"))? {
                if entry.name <= last {
                    return Err(wrong("order of names"));
                }
                let number = match &*entry.name {
                    b"." => directory.number,
                    b".." => parent,
                    _ => {
                        let found = self.inode(entry.number)?;
                        if entry.file_type != found.kind as u8 {
                            return Err(wrong("type of a file"));
                        }
                        inner.extend((found.kind == Kind::Directory).then_some(found));
                        last = entry.name;
                        continue;
                    }
                };
                if entry.number != number || entry.file_type != Kind::Directory as u8 {
                    return Err(wrong("directory"));
                }
                own += 1;
                last = entry.name;
            }
        }
        if own == 2 { Ok(inner) } else { Err(wrong("directory")) }
    }
}

impl Kind {
    fn of(mode: u16) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharacterDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            _ => return None,
        })
    }
}

/// What was read last of an image: what stands together is asked for together.
struct Window<'a> {
    image: &'a File,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(image: &'a File) -> Self {
        Self { image, start: 0, bytes: Vec::new() }
    }

    fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        if at < self.start || at + length as u64 > self.start + self.bytes.len() as u64 {
            self.read(at, length.max(WINDOW))?;
        }
        let offset = (at - self.start) as usize;
        self.bytes.get(offset..offset + length).ok_or_else(|| wrong("end"))
    }

    fn read(&mut self, at: u64, length: usize) -> io::Result<()> {
        self.start = at;
        self.bytes.resize(length, 0);
        let mut filled = 0;
        while filled < length {
            match self.image.read_at(&mut self.bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// Whether `size` bytes from the block `place` on are all between these offsets.
fn lies_in(place: u32, size: u64, from: u64, to: u64) -> bool {
    let start = u64::from(place) << BLOCK_BITS;
    size == 0 || start >= from && start.checked_add(size).is_some_and(|end| end <= to)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged image: its {what} is wrong"))
}
