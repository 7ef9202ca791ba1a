//! What files hold, written to the image as it arrives.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::disk::{BLOCK, BLOCK_BITS, HOLE};

/// Where the data starts: after the superblock, on a page.
pub(crate) const START: u64 = 4096;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// Shorter gaps are filled with zeros, longer ones become holes.
const SMALL_GAP: u64 = 64 << 10;

/// Chunks of a sparse file are no smaller than a page, and no more than these.
const SMALLEST_CHUNK_BITS: u32 = 12;
pub(crate) const MOST_CHUNKS: u64 = 16 << 10;

/// The largest chunk that an inode can speak of.
pub(crate) const LARGEST_CHUNK_BITS: u32 = BLOCK_BITS + 31;

/// The data of an image, in the order in which it came.
pub struct Data {
    file: File,
    buffer: Vec<u8>,
    /// Where the buffer's first byte goes.
    flushed: u64,
}

/// Where a file's content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub(crate) size: u64,
    pub(crate) place: Place,
}

/// How a file's content lies in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In consecutive blocks from this one on.
    Whole(u32),
    /// In chunks of so many bytes, as a power of two, that start at these blocks.
    Chunks(u32, Box<[u32]>),
}

/// A file's content while it arrives.
pub struct FileData<'a> {
    to: &'a mut Data,
    content: Content,
    /// What of the file is still to come.
    ahead: Vec<Range<u64>>,
}

impl Data {
    /// Starts an image in the empty file `file`.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, buffer: Vec::with_capacity(BUFFER), flushed: START }
    }

    /// Starts the content of a file of `size` bytes, all of which is given to [`FileData::write`].
    ///
    /// # Errors
    /// The image is full.
    pub fn file(&mut self, size: u64) -> io::Result<FileData<'_>> {
        let place = Place::Whole(self.block()?);
        let ahead = Vec::from_iter((size > 0).then_some(0..size));
        Ok(FileData { to: self, content: Content { size, place }, ahead })
    }

    /// Starts the content of a file of `size` bytes, of which only `parts` are given to
    /// [`FileData::write`]; the rest is holes.
    ///
    /// # Errors
    /// The parts overlap, are in no order or go beyond the end, the file is larger than the kernel
    /// can have one, or the image is full.
    pub fn sparse_file(&mut self, size: u64, parts: &[Range<u64>]) -> io::Result<FileData<'_>> {
        let ends = std::iter::once(0).chain(parts.iter().map(|part| part.end));
        let ordered = parts.iter().zip(ends).all(|(part, last)| last <= part.start);
        if !ordered || parts.iter().any(|part| part.start > part.end || part.end > size) {
            return Err(invalid("a sparse file's parts are not in order"));
        }
        let mut bits = SMALLEST_CHUNK_BITS;
        while size >> bits > MOST_CHUNKS {
            bits += 1;
        }
        if bits > LARGEST_CHUNK_BITS {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the sparse file is too large",
            ));
        }
        let count = usize::try_from(size.div_ceil(1 << bits)).unwrap_or(usize::MAX);
        let mut chunks = vec![HOLE; count].into_boxed_slice();
        let mut next = self.here();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            for chunk in part.start >> bits..=(part.end - 1) >> bits {
                if let Some(block @ &mut HOLE) = chunks.get_mut(chunk as usize) {
                    *block = block_at(next)?;
                    next += 1 << bits;
                }
            }
        }
        let ahead = parts.iter().filter(|part| !part.is_empty()).rev().cloned().collect();
        let place = Place::Chunks(bits, chunks);
        Ok(FileData { to: self, content: Content { size, place }, ahead })
    }

    /// Takes the content of a file from `source`, to its end, which comes after `most` bytes.
    ///
    /// # Errors
    /// It doesn't, or the image can't be written.
    pub fn copy(&mut self, source: impl Read, most: u64) -> io::Result<Content> {
        let mut source = source.take(most.saturating_add(1));
        let (place, mut size) = (Place::Whole(self.block()?), 0);
        let mut piece = vec![0; 128 << 10];
        loop {
            let length = match source.read(&mut piece) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            size += length as u64;
            if size > most {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
            }
            self.write(&piece[..length])?;
        }
        self.skip_to(self.here().next_multiple_of(BLOCK))?;
        Ok(Content { size, place })
    }

    /// The image's file, and the block after all data.
    pub(crate) fn finish(mut self) -> io::Result<(File, u32)> {
        let end = self.block()?;
        self.flush()?;
        Ok((self.file, end))
    }

    fn block(&self) -> io::Result<u32> {
        block_at(self.here())
    }

    fn here(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Goes on at `offset`; what is skipped reads as zeros.
    fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        let gap = offset - self.here();
        if gap < SMALL_GAP {
            self.buffer.resize(self.buffer.len() + gap as usize, 0);
            return if self.buffer.len() < BUFFER { Ok(()) } else { self.flush() };
        }
        self.flush()?;
        self.flushed = offset;
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.buffer.len() + piece.len() > BUFFER {
            self.flush()?;
        }
        if piece.len() >= BUFFER {
            self.file.write_all_at(piece, self.flushed)?;
            self.flushed += piece.len() as u64;
        } else {
            self.buffer.extend_from_slice(piece);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.flushed)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl FileData<'_> {
    /// Takes what comes next.
    ///
    /// # Errors
    /// It is more than was said, or the image can't be written.
    pub fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let Some(part) = self.ahead.last_mut() else {
                return Err(invalid("a file has more data than was said"));
            };
            let (offset, until) = self.content.find(part.start);
            let fits = (until.min(part.end) - part.start).min(piece.len() as u64);
            let (now, rest) = piece.split_at(fits as usize);
            part.start += fits;
            if part.is_empty() {
                self.ahead.pop();
            }
            if let Some(offset) = offset {
                self.to.skip_to(offset)?;
            }
            self.to.write(now)?;
            piece = rest;
        }
        Ok(())
    }

    /// All has come.
    ///
    /// # Errors
    /// It hasn't, or the image can't be written.
    pub fn finish(self) -> io::Result<Content> {
        if !self.ahead.is_empty() {
            return Err(invalid("a file has less data than was said"));
        }
        let end = self.content.end().unwrap_or_else(|| self.to.here().next_multiple_of(BLOCK));
        self.to.skip_to(end)?;
        Ok(self.content)
    }
}

impl Content {
    /// Where in the image the byte `at` of the file goes, if that isn't just after the last one,
    /// and up to which byte the file goes on from there.
    fn find(&self, at: u64) -> (Option<u64>, u64) {
        let Place::Chunks(bits, chunks) = &self.place else {
            return (None, self.size);
        };
        let chunk = at >> bits;
        let start = u64::from(chunks[chunk as usize]) << BLOCK_BITS;
        (Some(start + (at - (chunk << bits))), (chunk + 1) << bits)
    }

    /// Where the last chunk ends.
    fn end(&self) -> Option<u64> {
        let Place::Chunks(bits, chunks) = &self.place else { return None };
        let last = chunks.iter().rev().find(|block| **block != HOLE)?;
        Some((u64::from(*last) << BLOCK_BITS) + (1 << bits))
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are remembered of where it lies.
    #[must_use]
    pub fn remembered(&self) -> usize {
        match &self.place {
            Place::Whole(_) => 0,
            Place::Chunks(_, chunks) => size_of_val(&**chunks),
        }
    }
}

/// The number of the block at `offset`.
pub(crate) fn block_at(offset: u64) -> io::Result<u32> {
    let number = u32::try_from(offset >> BLOCK_BITS).ok().filter(|number| *number != HOLE);
    number.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "the image is full"))
}

pub(crate) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
