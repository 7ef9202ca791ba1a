//! Writing tar archives: a plain ustar header where it can say all, PAX records where it can't.

use std::io::Write;

use tar::{EntryType, Header};

use super::entry::{Entry, EntryKind, ModifiedAt};
use super::header::BLOCK;
use super::pax;
use super::sparse::Segment;
use crate::error::{Error, Result};

/// Bytes of a header's fields for a path and a link's target.
const SHORT: usize = 100;
/// The highest number in a field of eight bytes, and in one of twelve.
const IN_EIGHT: u64 = 0o7_777_777;
const IN_TWELVE: u64 = 0o77_777_777_777;

/// A tar archive that is written from its beginning to its end.
pub(crate) struct Writer<W> {
    to: W,
    /// Bytes of the current member's data that are still to be written.
    remaining: u64,
    /// Bytes that fill the current member's data up to whole blocks.
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// An archive on `to`, which should have a buffer.
    pub(crate) fn new(to: W) -> Self {
        Self { to, remaining: 0, padding: 0 }
    }

    /// Begins a member. The data of a file, its segments one after the other, comes next by
    /// [`Self::data`].
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<()> {
        self.fill_up()?;
        let mut records = pax::Written::default();
        let mut header = Header::new_ustar();
        set_facts(&mut header, entry, &mut records)?;
        let (kind, stored, map) = match &entry.kind {
            EntryKind::File { size, segments: None } => (EntryType::Regular, *size, Vec::new()),
            EntryKind::File { size, segments: Some(segments) } => {
                let map = sparse_map(segments);
                let data: u64 = segments.iter().map(|segment| segment.length).sum();
                set_sparse(&mut header, &entry.path, *size, &mut records);
                (EntryType::Regular, map.len() as u64 + data, map)
            }
            EntryKind::Directory => (EntryType::Directory, 0, Vec::new()),
            EntryKind::Symlink { target } => {
                set_link(&mut header, target, &mut records);
                (EntryType::Symlink, 0, Vec::new())
            }
            EntryKind::HardLink { target } => {
                set_link(&mut header, target, &mut records);
                (EntryType::Link, 0, Vec::new())
            }
            EntryKind::CharacterDevice { major, minor } => {
                set_device(&mut header, *major, *minor)?;
                (EntryType::Char, 0, Vec::new())
            }
            EntryKind::BlockDevice { major, minor } => {
                set_device(&mut header, *major, *minor)?;
                (EntryType::Block, 0, Vec::new())
            }
            EntryKind::Fifo => (EntryType::Fifo, 0, Vec::new()),
        };
        header.set_entry_type(kind);
        if stored > IN_TWELVE {
            records.push(b"size", stored.to_string().as_bytes());
        }
        header.set_size(if stored > IN_TWELVE { 0 } else { stored });
        self.records(&entry.path, &records)?;
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.write(&map)?;
        self.begin_data(stored - map.len() as u64);
        Ok(())
    }

    /// Writes a piece of the current member's data; what is more than was announced is left out.
    pub(crate) fn data(&mut self, piece: &[u8]) -> Result<()> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(piece.len());
        self.write(&piece[..wanted])?;
        self.remaining -= wanted as u64;
        Ok(())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.fill_up()?;
        self.write(&[0; 2 * BLOCK])?;
        self.to.flush().map_err(|error| Error::io("write the archive", error))?;
        Ok(self.to)
    }

    /// Zeros where data was announced and didn't come (the file has become shorter since), and up
    /// to a whole block.
    fn fill_up(&mut self) -> Result<()> {
        static ZEROS: [u8; 32 << 10] = [0; 32 << 10];
        while self.remaining > 0 {
            self.data(&ZEROS)?;
        }
        let padding = std::mem::take(&mut self.padding);
        self.write(&ZEROS[..padding])
    }

    fn begin_data(&mut self, size: u64) {
        self.remaining = size;
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        self.padding = (BLOCK - over) % BLOCK;
    }

    fn records(&mut self, path: &[u8], records: &pax::Written) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let content = records.bytes();
        let mut header = Header::new_ustar();
        set_name(&mut header, &[b"PaxHeaders.0/", last_name(path)].concat());
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.begin_data(content.len() as u64);
        self.data(&content)?;
        self.fill_up()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|error| Error::io("write the archive", error))
    }
}

/// What every member has.
fn set_facts(header: &mut Header, entry: &Entry, records: &mut pax::Written) -> Result<()> {
    if entry.path.len() > SHORT || !entry.path.is_ascii() {
        records.push(b"path", &entry.path);
    }
    set_name(header, &entry.path);
    header.set_mode(entry.mode & 0o7777);
    let mut number = |key: &[u8], value: u32| {
        if u64::from(value) <= IN_EIGHT {
            return u64::from(value);
        }
        records.push(key, value.to_string().as_bytes());
        0
    };
    header.set_uid(number(b"uid", entry.uid));
    header.set_gid(number(b"gid", entry.gid));
    let ModifiedAt { seconds, nanoseconds } = entry.modified;
    let whole = u64::try_from(seconds).ok().filter(|seconds| *seconds <= IN_TWELVE);
    if whole.is_none() || nanoseconds != 0 {
        records.push(b"mtime", pax::written_time(entry.modified).as_bytes());
    }
    header.set_mtime(whole.unwrap_or_default());
    set_device(header, 0, 0)?;
    for (name, value) in &entry.attributes {
        records.push(&[pax::ATTRIBUTE, name].concat(), value);
    }
    Ok(())
}

fn set_link(header: &mut Header, target: &[u8], records: &mut pax::Written) {
    if target.len() > SHORT || !target.is_ascii() {
        records.push(b"linkpath", target);
    }
    copy(&mut header.as_old_mut().linkname, target);
}

fn set_device(header: &mut Header, major: u32, minor: u32) -> Result<()> {
    header
        .set_device_major(major)
        .and_then(|()| header.set_device_minor(minor))
        .map_err(|error| Error::io("write the numbers of a device", error))
}

/// A sparse file in PAX form 1.0: readers that don't know it see a file with the map in front.
fn set_sparse(header: &mut Header, path: &[u8], size: u64, records: &mut pax::Written) {
    records.remove(b"path");
    records.push(b"GNU.sparse.major", b"1");
    records.push(b"GNU.sparse.minor", b"0");
    records.push(b"GNU.sparse.name", path);
    records.push(b"GNU.sparse.realsize", size.to_string().as_bytes());
    set_name(header, &[b"GNUSparseFile.0/", last_name(path)].concat());
}

fn sparse_map(segments: &[Segment]) -> Vec<u8> {
    let mut map = format!("{}\n", segments.len()).into_bytes();
    for segment in segments {
        map.extend_from_slice(format!("{}\n{}\n", segment.offset, segment.length).as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

fn set_name(header: &mut Header, path: &[u8]) {
    copy(&mut header.as_old_mut().name, path);
}

fn last_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// As much of `text` as there is place for; what is cut off has a record.
fn copy(field: &mut [u8; SHORT], text: &[u8]) {
    let length = text.len().min(SHORT);
    field.fill(0);
    field[..length].copy_from_slice(&text[..length]);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::reader::Archive;
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified: ModifiedAt::default(),
            attributes: Vec::new(),
        }
    }

    /// What the reader makes of these members and their data.
    fn read_back(members: &[(Entry, &[u8])]) -> Vec<(Entry, Vec<u8>)> {
        let mut writer = Writer::new(Vec::new());
        for (entry, data) in members {
            writer.append(entry).unwrap();
            writer.data(data).unwrap();
        }
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut archive = Archive::new(Cursor::new(bytes));
        let mut read = Vec::new();
        while let Some(entry) = archive.next().unwrap() {
            let mut data = Vec::new();
            loop {
                let piece = archive.data().unwrap().to_vec();
                if piece.is_empty() {
                    break;
                }
                archive.consume(piece.len());
                data.extend(piece);
            }
            read.push((entry, data));
        }
        read
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "d".repeat(90) + "/" + &"n".repeat(150);
        let file = |size| EntryKind::File { size, segments: None };
        let members = [
            (entry("plain", file(3)), &b"abc"[..]),
            (Entry { mode: 0o4755, ..entry(&long, file(0)) }, b""),
            (entry("täxt", file(513)), &[7; 513]),
            (Entry { mode: 0o1777, ..entry("dir/", EntryKind::Directory) }, b""),
            (entry("link", EntryKind::Symlink { target: long.clone().into_bytes() }), b""),
            (entry("hard", EntryKind::HardLink { target: b"plain".to_vec() }), b""),
            (entry("null", EntryKind::CharacterDevice { major: 1, minor: 3 }), b""),
            (entry("disk", EntryKind::BlockDevice { major: 259, minor: 1_048_575 }), b""),
            (entry("pipe", EntryKind::Fifo), b""),
        ];
        let expected: Vec<_> =
            members.iter().map(|(entry, data)| (entry.clone(), data.to_vec())).collect();
        assert_eq!(read_back(&members), expected);
    }

    #[test]
    fn times_owners_and_attributes_are_whole() {
        let at = |seconds, nanoseconds| ModifiedAt { seconds, nanoseconds };
        let file = EntryKind::File { size: 0, segments: None };
        for modified in
            [at(1, 0), at(1_700_000_000, 1), at(-2, 750_000_000), at(-3, 0), at(1 << 40, 9)]
        {
            let original = Entry {
                modified,
                uid: u32::MAX - 1,
                gid: 2_097_152,
                attributes: vec![(b"user.a".to_vec(), b"\0\n=1 b".to_vec())],
                ..entry("file", file.clone())
            };
            assert_eq!(read_back(&[(original.clone(), b"")]), [(original, Vec::new())]);
        }
    }

    #[test]
    fn holes_are_not_written() {
        let segments =
            vec![Segment { offset: 0, length: 2 }, Segment { offset: 1 << 30, length: 3 }];
        let kind = EntryKind::File { size: 1 << 31, segments: Some(segments) };
        let original = entry("a/sparse", kind);
        assert_eq!(read_back(&[(original.clone(), b"abcde")]), [(original, b"abcde".to_vec())]);
    }

    #[test]
    fn a_file_that_changes_leaves_the_archive_whole() {
        let file = |size| EntryKind::File { size, segments: None };
        let read = read_back(&[(entry("short", file(4)), b"a"), (entry("long", file(1)), b"abc")]);
        assert_eq!(read[0].1, b"a\0\0\0");
        assert_eq!(read[1].1, b"a");
    }
}
