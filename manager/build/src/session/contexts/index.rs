//! What is in a context that is kept: each file as its sender told of it, in walking order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use prost::Message;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tare_proto::builds::fsutil::types::Stat;

use super::About;
use crate::error::{Error, Result};
use crate::session::files::entry::walking_order;
use crate::tree::Contents;

/// The name of the file, and what it is called while it is written.
pub(super) const NAME: &str = "index";
const NEW: &str = "index.new";

/// All files of a context.
#[derive(Debug, Default)]
pub(in crate::session) struct Index(pub(in crate::session) Vec<Known>);

/// A file of a context.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::session) struct Known {
    pub(in crate::session) stat: Stat,
    /// The SHA-256 of what a regular file holds.
    pub(in crate::session) content: Option<[u8; 32]>,
}

/// What stands before the files, in a line of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    /// When the machine was started. What a power cut has left is not looked at.
    pub(super) boot: String,
    #[serde(flatten)]
    pub(super) about: About,
}

impl Index {
    pub(in crate::session) fn find(&self, path: &[u8]) -> Option<&Known> {
        let found = self.0.binary_search_by(|known| walking_order(&known.stat.path, path)).ok()?;
        self.0.get(found)
    }

    /// Reads that in `place`; none if it isn't whole.
    pub(super) fn read(place: BorrowedFd<'_>) -> Option<(Header, Vec<u8>)> {
        let file = rustix::fs::openat(place, NAME, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut File::from(file.ok()?), &mut bytes).ok()?;
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let header = serde_json::from_slice(&bytes[..end]).ok()?;
        bytes.drain(..=end);
        Some((header, bytes))
    }

    /// The files in `bytes`.
    pub(super) fn of(mut bytes: &[u8]) -> Option<Self> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let stat = Stat::decode_length_delimited(&mut bytes).ok()?;
            let (has_content, rest) = bytes.split_first()?;
            bytes = rest;
            let content = match has_content {
                0 => None,
                _ => {
                    let (content, rest) = bytes.split_first_chunk::<32>()?;
                    bytes = rest;
                    Some(*content)
                }
            };
            all.push(Known { stat, content });
        }
        Some(Self(all))
    }

    /// Writes it to `place`, whole or not at all.
    pub(super) fn write(&self, header: &Header, place: BorrowedFd<'_>) -> Result<()> {
        let failed = |error| Error::io("write the index of a context", error);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file: OwnedFd = rustix::fs::openat(place, NEW, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| failed(error.into()))?;
        let mut file = BufWriter::with_capacity(1 << 20, File::from(file));
        self.encode(header, &mut file).map_err(failed)?;
        rustix::fs::renameat(place, NEW, place, NAME).map_err(|error| failed(error.into()))
    }

    fn encode(&self, header: &Header, file: &mut impl Write) -> std::io::Result<()> {
        serde_json::to_writer(&mut *file, header)?;
        file.write_all(b"\n")?;
        let mut bytes = Vec::new();
        for known in &self.0 {
            bytes.clear();
            // A vector takes all of it.
            known.stat.encode_length_delimited(&mut bytes).map_err(std::io::Error::other)?;
            file.write_all(&bytes)?;
            match &known.content {
                None => file.write_all(&[0])?,
                Some(content) => {
                    file.write_all(&[1])?;
                    file.write_all(content)?;
                }
            }
        }
        file.flush()
    }
}

impl Contents for Index {
    fn of(&self, path: &[u8]) -> Option<[u8; 32]> {
        self.find(path)?.content
    }
}
