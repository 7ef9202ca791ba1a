//! An archive's members, written to disk as blobs to be.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::given_up::GivenUp;
use crate::image::archive::{Archive, EntryKind, path, unreadable};
use crate::image::blobs::{Blobs, Ingested};
use crate::image::compression::Compression;
use crate::snapshot::Layers;

/// More members than any honest archive of images has.
const MOST_MEMBERS: usize = 1 << 16;
/// The longest path of a member: they are all held in memory.
const LONGEST_PATH: usize = 512;
/// Links that lead to a member.
const MOST_LINKS: usize = 16;
/// The longest manifest, index or configuration that is read into memory.
const LONGEST_JSON: u64 = 16 << 20;
const BUFFER: usize = 256 << 10;

/// The members of an archive by their path.
pub(super) struct Spool {
    members: HashMap<Vec<u8>, Member>,
}

#[derive(PartialEq)]
enum Member {
    File(Spooled),
    /// A link to the member with this path.
    Link(Vec<u8>),
}

/// A member's content on disk; deleted when the last one is dropped.
#[derive(Clone)]
pub(super) struct Spooled(Arc<Ingested>);

impl Spool {
    /// Writes every member of `archive` to disk.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for what is no archive.
    pub(super) fn read(
        archive: impl Read + Send + 'static,
        blobs: &Blobs,
        layers: &Layers,
        given_up: &GivenUp,
    ) -> Result<Self> {
        let mut source = BufReader::with_capacity(BUFFER, archive);
        let start = source.fill_buf().map_err(unreadable)?;
        if start.is_empty() {
            return Err(Error::invalid("invalid archive: it is empty"));
        }
        let compression = Compression::detect(start)?;
        let mut archive = Archive::new(layers.uncompressed(source, compression, given_up)?);
        let mut members: HashMap<Vec<u8>, Member> = HashMap::new();
        while let Some(entry) = archive.next()? {
            if entry.path.len() > LONGEST_PATH {
                return Err(Error::invalid("invalid archive: a member's path is too long"));
            }
            let path = path::plain(&entry.path)?;
            let member = match entry.kind {
                EntryKind::File { segments: None, .. } => Member::File(spool(&mut archive, blobs)?),
                EntryKind::Symlink { target } | EntryKind::HardLink { target }
                    if target.len() > LONGEST_PATH =>
                {
                    return Err(Error::invalid("invalid archive: a link's target is too long"));
                }
                EntryKind::Symlink { target } => {
                    let from_here = [path::parent(&path), b"/", target.as_slice()].concat();
                    let absolute = target.starts_with(b"/");
                    Member::Link(path::plain(if absolute { &target } else { &from_here })?)
                }
                EntryKind::HardLink { target } => Member::Link(path::plain(&target)?),
                EntryKind::Directory => continue,
                _ => {
                    return Err(Error::invalid(format!(
                        "invalid archive: {:?} is no plain file",
                        String::from_utf8_lossy(&entry.path)
                    )));
                }
            };
            if members.len() == MOST_MEMBERS {
                return Err(Error::invalid("invalid archive: it has too many members"));
            }
            if let Some(former) = members.get(&path)
                && *former != member
            {
                let path = String::from_utf8_lossy(&path);
                let text = format!("invalid archive: it has two different members called {path:?}");
                return Err(Error::invalid(text));
            }
            members.insert(path, member);
        }
        archive.drain()?;
        Ok(Self { members })
    }

    /// The member at `path`, through links.
    pub(super) fn get(&self, path: &str) -> Option<&Spooled> {
        let mut path = path::plain(path.as_bytes()).ok()?;
        for _ in 0..MOST_LINKS {
            match self.members.get(&path)? {
                Member::File(file) => return Some(file),
                Member::Link(target) => path.clone_from(target),
            }
        }
        None
    }

    /// The member at `path`.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if there is none.
    pub(super) fn require(&self, path: &str) -> Result<&Spooled> {
        self.get(path).ok_or_else(|| {
            Error::invalid(format!("invalid archive: {path:?} is named in it, but not there"))
        })
    }
}

impl Spooled {
    /// All of a member that must be small.
    pub(super) fn small(&self, blobs: &Blobs) -> Result<Vec<u8>> {
        if self.size > LONGEST_JSON {
            return Err(Error::invalid(format!(
                "invalid archive: a manifest or configuration of {} bytes; {LONGEST_JSON} are \
                 allowed",
                self.size
            )));
        }
        let mut content = Vec::new();
        self.open(blobs)?
            .read_to_end(&mut content)
            .map_err(|error| Error::io("read a member of the archive", error))?;
        Ok(content)
    }

    /// Opens it for reading.
    pub(super) fn open(&self, blobs: &Blobs) -> Result<File> {
        self.0.read(blobs)
    }
}

impl PartialEq for Spooled {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Deref for Spooled {
    type Target = Ingested;

    fn deref(&self) -> &Ingested {
        &self.0
    }
}

fn spool<R: BufRead>(archive: &mut Archive<R>, blobs: &Blobs) -> Result<Spooled> {
    let mut ingest = blobs.create()?;
    loop {
        let piece = archive.data()?;
        if piece.is_empty() {
            return Ok(Spooled(Arc::new(ingest.finish())));
        }
        let count = piece.len();
        ingest.write_all(piece).map_err(|error| ingest.failed(error))?;
        archive.consume(count);
    }
}
