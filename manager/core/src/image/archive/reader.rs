//! The walk from member to member.

use std::io::{self, BufRead};

use tar::{EntryType, Header};

use super::entry::{Entry, EntryKind};
use super::header::{BLOCK, Block, Fields, verify};
use super::pax::Records;
use super::sparse::{Map, Segment};
use crate::error::{Error, Result};

/// The longest PAX header or GNU long name that is read: they are held in memory.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// A tar archive that is read once, from its beginning to its end.
pub(crate) struct Archive<R> {
    source: R,
    /// Bytes read so far.
    position: u64,
    /// Bytes of the current member's data that are still to come.
    remaining: u64,
    /// Bytes that fill the current member's data up to whole blocks.
    padding: u64,
}

/// What the headers in front of a member say about it.
#[derive(Default)]
struct Extensions {
    records: Records,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> Archive<R> {
    /// The archive that `source` holds, uncompressed.
    pub(crate) fn new(source: R) -> Self {
        Self { source, position: 0, remaining: 0, padding: 0 }
    }

    /// The next member; what is left of the last one's data is skipped. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            self.skip_data()?;
            let Some(block) = self.next_header()? else {
                return if extended { Err(cut_off()) } else { Ok(None) };
            };
            let header = Header::from_byte_slice(&block);
            let fields = Fields::read(header)?;
            extended = true;
            match header.entry_type() {
                EntryType::XHeader => {
                    extensions.records = Records::parse(&self.extension(fields.size)?)?;
                }
                EntryType::GNULongName => {
                    extensions.long_path = Some(without_nul(self.extension(fields.size)?));
                }
                EntryType::GNULongLink => {
                    extensions.long_link = Some(without_nul(self.extension(fields.size)?));
                }
                // Defaults for all members that follow: Go's reader, and docker with it, skips
                // them, and honest archives have only a comment there.
                EntryType::XGlobalHeader => {
                    self.set_data(fields.size);
                    extended = false;
                }
                volume_label if volume_label.as_byte() == b'V' => extended = false,
                _ => return self.member(header, fields, extensions).map(Some),
            }
        }
    }

    /// A piece of the current member's data, as it lies in the source's buffer; empty at the end.
    /// Tell with [`Self::consume`] how much of it was used.
    pub(crate) fn data(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let piece = self.source.fill_buf().map_err(unreadable)?;
        if piece.is_empty() {
            return Err(cut_off());
        }
        Ok(&piece[..piece.len().min(wanted)])
    }

    /// Goes on by `count` bytes of the piece that [`Self::data`] gave.
    pub(crate) fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.remaining = self.remaining.saturating_sub(count as u64);
        self.position += count as u64;
    }

    /// Reads what follows the archive's end, so that the whole stream is hashed and known whole.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            let count = self.source.fill_buf().map_err(unreadable)?.len();
            if count == 0 {
                return Ok(());
            }
            self.source.consume(count);
        }
    }

    /// Fills `block` with the next block of the archive.
    pub(super) fn read_block(&mut self, block: &mut Block) -> Result<()> {
        if self.fill(block)? == BLOCK { Ok(()) } else { Err(cut_off()) }
    }

    /// The next header; `None` at the two empty blocks that end an archive, or at a clean end
    /// without them, which some tools leave out.
    fn next_header(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        let at = self.position;
        match self.fill(&mut block)? {
            0 => return Ok(None),
            BLOCK => {}
            _ if at == 0 => return Err(Error::invalid("this is not a tar archive")),
            _ => return Err(cut_off()),
        }
        if !is_empty(&block) {
            verify(&block, at)?;
            return Ok(Some(block));
        }
        match self.fill(&mut block)? {
            BLOCK if !is_empty(&block) => Err(Error::invalid(format!(
                "invalid tar header at byte {at}: an empty block between members"
            ))),
            _ => Ok(None),
        }
    }

    fn fill(&mut self, block: &mut Block) -> Result<usize> {
        let mut filled = 0;
        while filled < BLOCK {
            let piece = self.source.fill_buf().map_err(unreadable)?;
            if piece.is_empty() {
                break;
            }
            let count = piece.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&piece[..count]);
            self.source.consume(count);
            filled += count;
        }
        self.position += filled as u64;
        Ok(filled)
    }

    fn set_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_data(&mut self) -> Result<()> {
        self.remaining = self.remaining.checked_add(self.padding).ok_or_else(cut_off)?;
        self.padding = 0;
        loop {
            let count = self.data()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LONGEST_EXTENSION {
            return Err(Error::invalid(format!(
                "invalid tar header: an extension of {size} bytes; {LONGEST_EXTENSION} are allowed"
            )));
        }
        self.set_data(size);
        let mut content = Vec::new();
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                return Ok(content);
            }
            content.extend_from_slice(piece);
            let count = piece.len();
            self.consume(count);
        }
    }

    fn member(
        &mut self,
        header: &Header,
        mut fields: Fields,
        extensions: Extensions,
    ) -> Result<Entry> {
        if let Some(path) = extensions.long_path {
            fields.path = path;
        }
        if let Some(link) = extensions.long_link {
            fields.link = link;
        }
        let records = extensions.records;
        records.apply(&mut fields)?;
        let kind = match header.entry_type() {
            EntryType::GNUSparse => {
                let gnu = header.as_gnu().ok_or_else(|| {
                    Error::invalid("invalid tar header: a sparse file in a header that isn't GNU's")
                })?;
                let map = Map::old_gnu(gnu, self)?;
                self.sparse_file(map, fields.size)?
            }
            EntryType::Regular | EntryType::Continuous => {
                let mut stored = fields.size;
                match Map::pax(&records, self, &mut stored)? {
                    Some(map) => {
                        if let Some(name) = records.get("GNU.sparse.name") {
                            fields.path = name.to_vec();
                        }
                        self.sparse_file(map, stored)?
                    }
                    None => self.plain_file(&fields),
                }
            }
            other => {
                // They have no data, whatever size they state: whoever skipped some would see other
                // members in the archive than docker does.
                self.set_data(0);
                special(other, &mut fields)?
            }
        };
        if fields.path.contains(&0) {
            return Err(Error::invalid("invalid tar header: a path with a NUL byte"));
        }
        Ok(Entry {
            path: fields.path,
            kind,
            mode: fields.mode,
            uid: fields.uid,
            gid: fields.gid,
            modified: fields.modified,
            attributes: records.attributes(),
        })
    }

    fn plain_file(&mut self, fields: &Fields) -> EntryKind {
        self.set_data(fields.size);
        // Before there was a type for directories, a slash at the end made one.
        if fields.path.ends_with(b"/") {
            return EntryKind::Directory;
        }
        EntryKind::File { size: fields.size, segments: None }
    }

    fn sparse_file(&mut self, map: Map, stored: u64) -> Result<EntryKind> {
        map.verify(stored)?;
        self.set_data(stored);
        let has_data = |segment: &Segment| segment.length > 0;
        let segments = map.segments.into_iter().filter(has_data).collect();
        Ok(EntryKind::File { size: map.size, segments: Some(segments) })
    }
}

fn is_empty(block: &Block) -> bool {
    block.iter().all(|byte| *byte == 0)
}

fn special(kind: EntryType, fields: &mut Fields) -> Result<EntryKind> {
    let (major, minor) = fields.device;
    let target = std::mem::take(&mut fields.link);
    if target.contains(&0) {
        return Err(Error::invalid("invalid tar header: a link's target with a NUL byte"));
    }
    Ok(match kind {
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink { target },
        EntryType::Link => EntryKind::HardLink { target },
        EntryType::Char => EntryKind::CharacterDevice { major, minor },
        EntryType::Block => EntryKind::BlockDevice { major, minor },
        EntryType::Fifo => EntryKind::Fifo,
        other => {
            return Err(Error::invalid(format!(
                "the archive has a member of the unknown type {:?}: {}",
                char::from(other.as_byte()),
                String::from_utf8_lossy(&fields.path),
            )));
        }
    })
}

/// GNU's long names end with a NUL.
fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}

fn cut_off() -> Error {
    Error::invalid("the archive ends in the middle: it was cut off")
}

/// What went wrong below: a failed system call is the machine's fault, all else the archive's.
pub(crate) fn unreadable(error: io::Error) -> Error {
    // What was said in our own words is not said again.
    let error = match error.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    match (error.raw_os_error(), error.kind()) {
        (None, io::ErrorKind::UnexpectedEof) => cut_off().caused_by(error),
        (None, _) => Error::invalid(format!("the archive can't be read: {error}")).caused_by(error),
        (Some(_), _) => Error::io("take the archive in", error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Member, tar_of};
    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
        let mut archive = Archive::new(bytes);
        let mut members = Vec::new();
        while let Some(entry) = archive.next()? {
            let mut content = Vec::new();
            loop {
                let piece = archive.data()?;
                if piece.is_empty() {
                    break;
                }
                content.extend_from_slice(piece);
                let count = piece.len();
                archive.consume(count);
            }
            members.push((entry, content));
        }
        archive.drain()?;
        Ok(members)
    }

    #[test]
    fn members_come_with_all_their_fields() {
        let long = format!("{}/file", "directory/".repeat(30));
        let bytes = tar_of(&[
            Member::directory("etc/").mode(0o1777).owner(1000, 3_000_000),
            Member::file("etc/passwd", b"root").mode(0o4755).mtime("1700000000.123456789"),
            Member::file(&long, &[7; 1000]).attribute("user.a", b"x\ny"),
            Member::symlink("etc/mtab", "/proc/mounts"),
            Member::hard_link("etc/other", "etc/passwd"),
            Member::device("dev/null", 1, 3),
            Member::fifo("run/pipe"),
        ]);
        let members = read_all(&bytes).unwrap();
        assert_eq!(members.len(), 7);
        assert_eq!(members[0].0.kind, EntryKind::Directory);
        assert_eq!((members[0].0.mode, members[0].0.gid), (0o1777, 3_000_000));
        assert_eq!(members[1].1, b"root");
        assert_eq!(members[1].0.mode, 0o4755);
        assert_eq!(members[1].0.modified.nanoseconds, 123_456_789);
        assert_eq!(members[2].0.path, long.as_bytes());
        assert_eq!(members[2].0.attributes, [(b"user.a".to_vec(), b"x\ny".to_vec())]);
        assert_eq!(members[2].1.len(), 1000);
        assert_eq!(members[3].0.kind, EntryKind::Symlink { target: b"/proc/mounts".to_vec() });
        assert_eq!(members[4].0.kind, EntryKind::HardLink { target: b"etc/passwd".to_vec() });
        assert_eq!(members[5].0.kind, EntryKind::CharacterDevice { major: 1, minor: 3 });
        assert_eq!(members[6].0.kind, EntryKind::Fifo);
    }

    #[test]
    fn every_cut_and_no_flip_of_a_bit_gets_past() {
        let bytes = tar_of(&[Member::file("a", &[1; 700]).mtime("1.5"), Member::directory("b")]);
        let end = bytes.len() - 2 * BLOCK;
        let whole = read_all(&bytes).unwrap().len();
        for cut in 0..end {
            match read_all(&bytes[..cut]) {
                Ok(members) => assert!(cut % BLOCK == 0 && members.len() < whole, "{cut}"),
                Err(error) => assert_eq!(error.kind(), crate::Kind::Invalid, "{cut}"),
            }
        }
        for position in 0..end {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x40;
            if let Err(error) = read_all(&flipped) {
                assert_eq!(error.kind(), crate::Kind::Invalid, "{position}");
            }
        }
    }

    #[test]
    fn what_is_only_a_header_has_no_data() {
        let inner = tar_of(&[Member::file("inner", b"")]);
        for kind in [EntryType::Directory, EntryType::Link, EntryType::Symlink, EntryType::Fifo] {
            // If the link's data were skipped, "inner" would be hidden in it.
            let bytes = tar_of(&[Member::new("outer", kind).stated_size(512)]);
            let members = read_all(&[&bytes[..BLOCK], &inner].concat()).unwrap();
            let paths: Vec<_> = members.iter().map(|(entry, _)| entry.path.as_slice()).collect();
            assert_eq!(paths, [b"outer", b"inner"], "{kind:?}");
        }
    }

    #[test]
    fn one_empty_block_is_no_end_where_more_follows() {
        let bytes = tar_of(&[Member::directory("a")]);
        let member = &bytes[..BLOCK];
        let gap = [member, &[0; BLOCK], member, &[0; 2 * BLOCK]].concat();
        let error = read_all(&gap).unwrap_err();
        assert!(error.to_string().contains("at byte 512: an empty block"), "{error}");
        // Some tools write just one at the end, or none; what follows two is nobody's.
        assert_eq!(read_all(&[member, &[0; BLOCK]].concat()).unwrap().len(), 1);
        assert_eq!(read_all(&[member, &[0; 2 * BLOCK], member].concat()).unwrap().len(), 1);
    }

    #[test]
    fn sparse_files_of_every_form_are_mapped() {
        let expected = vec![Segment { offset: 0, length: 2 }, Segment { offset: 4096, length: 3 }];
        for form in ["0.0", "0.1", "1.0", "old"] {
            let bytes = super::super::testing::sparse_tar(form);
            let members = read_all(&bytes).unwrap();
            let kind = EntryKind::File { size: 8192, segments: Some(expected.clone()) };
            assert_eq!(members[0].0.kind, kind, "{form}");
            assert_eq!(members[0].0.path, b"sparse", "{form}");
            assert_eq!(members[0].1, b"abcde", "{form}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_memory_is_taken() {
        let huge = Member::file("a", b"").stated_size(1 << 60);
        assert!(read_all(&tar_of(&[huge])).unwrap_err().to_string().contains("cut off"));
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(u64::MAX >> 1);
        header.set_cksum();
        let error = read_all(header.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("an extension of"), "{error}");
    }
}
