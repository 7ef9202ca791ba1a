//! Sparse files: GNU's old form and its three PAX forms, all read into one list of segments.

use std::io::BufRead;

use tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader};

use super::header::{BLOCK, number};
use super::pax::{Records, decimal};
use super::reader::Archive;
use crate::error::{Error, Result};

/// More segments than any honest file has.
const MOST_SEGMENTS: usize = 1 << 18;

/// A part of a sparse file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) length: u64,
}

/// A sparse file's map: how big the file is, and where its data goes.
pub(super) struct Map {
    pub(super) size: u64,
    pub(super) segments: Vec<Segment>,
}

impl Map {
    /// The map in a GNU header of type `S` and the blocks that follow it.
    pub(super) fn old_gnu<R: BufRead>(gnu: &GnuHeader, archive: &mut Archive<R>) -> Result<Self> {
        let size = number(&gnu.realsize, "real size")?;
        let size = u64::try_from(size).map_err(|_| bad_map())?;
        let mut segments = Vec::new();
        push_all(&gnu.sparse, &mut segments)?;
        let mut extended = gnu.is_extended();
        while extended {
            let mut block = GnuExtSparseHeader::new();
            archive.read_block(block.as_mut_bytes())?;
            push_all(block.sparse(), &mut segments)?;
            extended = block.is_extended();
        }
        Ok(Self { size, segments })
    }

    /// The map that PAX records hold or announce, if there is one. In form 1.0 it stands in front
    /// of the data and is taken off it: `stored` is what remains.
    pub(super) fn pax<R: BufRead>(
        records: &Records,
        archive: &mut Archive<R>,
        stored: &mut u64,
    ) -> Result<Option<Self>> {
        if records.get("GNU.sparse.major") == Some(b"1") {
            let size = records.number("GNU.sparse.realsize")?.ok_or_else(bad_map)?;
            let segments = map_before_data(archive, stored)?;
            return Ok(Some(Self { size, segments }));
        }
        let Some(size) = records.number("GNU.sparse.size")? else {
            return Ok(None);
        };
        let segments = match records.get("GNU.sparse.map") {
            Some(map) => {
                let numbers: Result<Vec<u64>> =
                    map.split(|byte| *byte == b',').map(decimal).collect();
                pairs(&numbers?)?
            }
            None => repeated_records(records)?,
        };
        Ok(Some(Self { size, segments }))
    }

    /// Checks that the segments follow each other inside the file and add up to what is stored.
    pub(super) fn verify(&self, stored: u64) -> Result<()> {
        let mut end = 0_u64;
        let mut total = 0_u64;
        for segment in &self.segments {
            if segment.offset < end {
                return Err(bad_map());
            }
            end = segment.offset.checked_add(segment.length).ok_or_else(bad_map)?;
            total += segment.length;
        }
        if end <= self.size && total == stored { Ok(()) } else { Err(bad_map()) }
    }
}

fn push_all(headers: &[GnuSparseHeader], segments: &mut Vec<Segment>) -> Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let offset = header.offset().map_err(|_| bad_map())?;
        let length = header.length().map_err(|_| bad_map())?;
        push(segments, Segment { offset, length })?;
    }
    Ok(())
}

fn push(segments: &mut Vec<Segment>, segment: Segment) -> Result<()> {
    if segments.len() == MOST_SEGMENTS {
        return Err(bad_map());
    }
    segments.push(segment);
    Ok(())
}

/// Form 0.0: an offset record and a length record for each segment.
fn repeated_records(records: &Records) -> Result<Vec<Segment>> {
    let mut numbers = Vec::new();
    for (key, value) in records.iter() {
        if key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes" {
            numbers.push(decimal(value)?);
        }
    }
    pairs(&numbers)
}

fn pairs(numbers: &[u64]) -> Result<Vec<Segment>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > MOST_SEGMENTS {
        return Err(bad_map());
    }
    Ok(pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect())
}

/// Form 1.0: lines of decimal numbers, first how many segments, filled up to whole blocks.
fn map_before_data<R: BufRead>(archive: &mut Archive<R>, stored: &mut u64) -> Result<Vec<Segment>> {
    let mut lines = Lines { archive, stored, block: [0; BLOCK], position: BLOCK };
    let count = lines.number()?;
    let mut segments = Vec::new();
    for _ in 0..count {
        let segment = Segment { offset: lines.number()?, length: lines.number()? };
        push(&mut segments, segment)?;
    }
    Ok(segments)
}

struct Lines<'a, R> {
    archive: &'a mut Archive<R>,
    stored: &'a mut u64,
    block: [u8; BLOCK],
    position: usize,
}

impl<R: BufRead> Lines<'_, R> {
    fn number(&mut self) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            let Some(byte) = self.block.get(self.position) else {
                *self.stored = self.stored.checked_sub(BLOCK as u64).ok_or_else(bad_map)?;
                self.archive.read_block(&mut self.block)?;
                self.position = 0;
                continue;
            };
            self.position += 1;
            match byte {
                b'\n' => return decimal(&digits),
                // No number of 64 bits is longer.
                _ if digits.len() == 20 => return Err(bad_map()),
                digit => digits.push(*digit),
            }
        }
    }
}

fn bad_map() -> Error {
    Error::invalid("invalid tar header: the map of a sparse file is damaged")
}
