//! Receives a file tree: compares what the sender tells of each file with what is here from earlier,
//! and asks for those that differ.
//!
//! As long as all is the same, nothing is done. At the first difference, the old tree is changed, if
//! nobody has it, or a new one is made that shares the files that are the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tare_core::Kind;
use tare_proto::builds::fsutil::types::packet::PacketType;
use tare_proto::builds::fsutil::types::{Packet, Stat};
use tokio::sync::mpsc;

use super::entry::{self, FileKind, walking_order};
use super::order::Order;
use super::target::finish;
use super::work::Work;
use crate::error::{Error, Result};
use crate::session::contexts::{ContextStore, Index, Key, Known, Version};

/// What a file costs of them beside its texts.
const KNOWN: usize = 256;
/// After so many bytes it is looked how much room there is; so many must be left.
const LOOK: u64 = 64 << 20;
const LEFT: u64 = 256 << 20;

/// How much a sender may make us hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes to know the files by.
    pub(super) known: usize,
    /// Files whose content arrives at the same time; senders send four.
    pub(super) open: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { known: 256 << 20, open: 128 }
    }
}

/// What is received, from whom, and where it goes.
pub(in crate::session) struct Receiver {
    store: ContextStore,
    key: Key,
    name: String,
    requests: mpsc::UnboundedSender<Packet>,
    /// What is here from earlier, and how far it has been compared.
    old: Option<Old>,
    next_old: usize,
    /// Where what differs is put; none: nothing differs so far.
    work: Option<Work>,
    files: Vec<Known>,
    /// For each of the files, whether it is what was here.
    same: Vec<bool>,
    order: Order,
    limits: Limits,
    known: usize,
    /// That was the last file.
    all_told: bool,
    /// Files whose content has not arrived; those of which some has.
    wanted: BTreeMap<u32, Option<Arriving>>,
    open: usize,
    /// Files that are further names of others.
    links: Vec<usize>,
    received: u64,
}

struct Old {
    /// None: it is being changed into the new one.
    version: Option<Arc<Version>>,
    index: Arc<Index>,
}

struct Arriving {
    file: File,
    hash: Sha256,
}

/// What was received.
pub(in crate::session) struct Received {
    pub(super) version: Arc<Version>,
    pub(super) index: Arc<Index>,
}

impl Receiver {
    pub(super) fn new(
        store: &ContextStore,
        key: &Key,
        name: &str,
        requests: mpsc::UnboundedSender<Packet>,
    ) -> Self {
        let old = store.nearest(key).and_then(|version| {
            let index = Arc::new(store.index(&version)?);
            Some(Old { version: Some(version), index })
        });
        Self {
            store: store.clone(),
            key: key.clone(),
            name: name.to_owned(),
            requests,
            old,
            next_old: 0,
            work: None,
            files: Vec::new(),
            same: Vec::new(),
            order: Order::new(),
            limits: Limits::default(),
            known: 0,
            all_told: false,
            wanted: BTreeMap::new(),
            open: 0,
            links: Vec::new(),
            received: 0,
        }
    }

    /// The same, within other limits.
    #[cfg(test)]
    pub(super) fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Receives `packets` up to the end, and says to the sender how that went. Blocks.
    pub(in crate::session) fn run(
        mut self,
        mut packets: mpsc::Receiver<Packet>,
    ) -> Result<Received> {
        let requests = self.requests.clone();
        let say = |kind: PacketType, data: Bytes| {
            // If the sender doesn't hear it, it has gone.
            let _ = requests.send(Packet { r#type: kind.into(), data, ..Packet::default() });
        };
        match self.receive(&mut packets).and_then(|()| self.settle()) {
            Ok(received) => {
                say(PacketType::Fin, Bytes::new());
                // What comes before its answer is of no interest any more, and there is little of it.
                while packets
                    .blocking_recv()
                    .is_some_and(|packet| packet.r#type() != PacketType::Fin)
                {}
                Ok(received)
            }
            Err(error) => {
                say(PacketType::Err, Bytes::from(error.message.clone().into_bytes()));
                Err(error)
            }
        }
    }

    fn receive(&mut self, packets: &mut mpsc::Receiver<Packet>) -> Result<()> {
        while !(self.all_told && self.wanted.is_empty()) {
            let Some(packet) = packets.blocking_recv() else {
                return Err(Error::new(Kind::Unavailable, "the client ended the transfer early"));
            };
            match (packet.r#type(), packet.stat) {
                (PacketType::Stat, Some(stat)) if !self.all_told => self.told(stat)?,
                (PacketType::Stat, None) if !self.all_told => self.told_all()?,
                (PacketType::Data, _) => self.arrived(packet.id, &packet.data)?,
                (PacketType::Err, _) => {
                    let text = String::from_utf8_lossy(&packet.data);
                    return Err(Error::system(format!("error from sender: {text}")));
                }
                (PacketType::Stat | PacketType::Req | PacketType::Fin, _) => {
                    return Err(Error::invalid(
                        "the client sent what doesn't belong in a transfer",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The sender has told of one file.
    fn told(&mut self, stat: Stat) -> Result<()> {
        let kind = entry::check(&stat)?;
        self.order.next(&stat.path, kind == FileKind::Directory)?;
        let attributes = stat.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64);
        self.known += KNOWN + stat.path.len() + stat.linkname.len() + attributes.sum::<usize>();
        if self.known > self.limits.known {
            let count = self.files.len();
            return Err(Error::invalid(format!(
                "the context has too many files: there is no room to know more than {count} by"
            )));
        }
        let link = entry::is_hard_link(&stat, kind);
        let first = if link { Some(self.linked(&stat)?) } else { None };
        let old = self.old_at(&stat.path)?;
        let is_same = old.as_ref().is_some_and(|old| old.stat == stat)
            && first.is_none_or(|first| self.same[first]);
        let content = old.as_ref().and_then(|old| old.content).filter(|_| is_same);
        let had = old.and_then(|old| FileKind::of(old.stat.mode));
        self.files.push(Known { stat, content });
        self.same.push(is_same);
        let number = self.files.len() - 1;
        if is_same { self.share(number) } else { self.differs(number, kind, had) }
    }

    /// That was the last file.
    fn told_all(&mut self) -> Result<()> {
        self.all_told = true;
        let old = self.old.as_ref().map(|old| Arc::clone(&old.index));
        let next = self.next_old;
        let left = old.iter().flat_map(|index| index.0.iter().skip(next));
        for known in left {
            self.gone(&known.stat.path)?;
        }
        Ok(())
    }

    /// The file that `stat` is another name of.
    fn linked(&self, stat: &Stat) -> Result<usize> {
        let by_path = |known: &Known| walking_order(&known.stat.path, &stat.linkname);
        let first = self.files.binary_search_by(by_path).ok().filter(|&first| {
            let first = &self.files[first].stat;
            FileKind::of(first.mode).is_some_and(|kind| {
                !matches!(kind, FileKind::Directory | FileKind::Symlink)
                    && first.linkname.is_empty()
            })
        });
        first.ok_or_else(|| {
            let (path, to) = (&stat.path, &stat.linkname);
            let (path, to) = (String::from_utf8_lossy(path), String::from_utf8_lossy(to));
            Error::invalid(format!("invalid link {path} to unknown path: {to:?}"))
        })
    }

    /// What was at `path`. What comes before it in the old tree, and was not told of, is gone.
    fn old_at(&mut self, path: &[u8]) -> Result<Option<Known>> {
        let Some(index) = self.old.as_ref().map(|old| Arc::clone(&old.index)) else {
            return Ok(None);
        };
        while let Some(old) = index.0.get(self.next_old) {
            match walking_order(&old.stat.path, path) {
                std::cmp::Ordering::Less => self.gone(&old.stat.path)?,
                std::cmp::Ordering::Equal => {
                    self.next_old += 1;
                    return Ok(Some(old.clone()));
                }
                std::cmp::Ordering::Greater => break,
            }
            self.next_old += 1;
        }
        Ok(None)
    }

    fn gone(&mut self, path: &[u8]) -> Result<()> {
        self.work()?.remove(path)
    }

    /// The file is what was here.
    fn share(&mut self, number: usize) -> Result<()> {
        let Some(work) = &mut self.work else { return Ok(()) };
        if work.share(&self.files[number].stat)? { Ok(()) } else { self.fetch(number) }
    }

    /// The file isn't what was here, which was a `had`.
    fn differs(&mut self, number: usize, kind: FileKind, had: Option<FileKind>) -> Result<()> {
        self.work()?;
        let (Some(work), stat) = (&mut self.work, &self.files[number].stat) else { return Ok(()) };
        let is_directory = kind == FileKind::Directory;
        if had.is_some_and(|had| !(is_directory && had == kind)) {
            work.remove(&stat.path)?;
        }
        if kind == FileKind::Regular || entry::is_hard_link(stat, kind) {
            return self.fetch(number);
        }
        work.make(stat, kind)
    }

    /// Asks for the content of a file, or notes that it is another one's.
    fn fetch(&mut self, number: usize) -> Result<()> {
        if !self.files[number].stat.linkname.is_empty() {
            self.links.push(number);
            return Ok(());
        }
        let id = u32::try_from(number).map_err(|_| Error::invalid("too many files"))?;
        self.wanted.insert(id, None);
        // If the sender doesn't hear it, nothing will arrive, and that is noticed.
        let _ =
            self.requests.send(Packet { r#type: PacketType::Req.into(), id, ..Packet::default() });
        Ok(())
    }

    /// Where what differs is put. The first time, all that was the same so far is put there too, unless
    /// it is there already.
    fn work(&mut self) -> Result<&mut Work> {
        let work = match self.work.take() {
            Some(work) => work,
            None => {
                let mut work = self.begin()?;
                // The last one is what differs.
                let count = self.same.iter().take_while(|same| **same).count();
                for number in 0..count {
                    if !work.share(&self.files[number].stat)? {
                        self.fetch(number)?;
                    }
                }
                work
            }
        };
        Ok(self.work.insert(work))
    }

    fn begin(&mut self) -> Result<Work> {
        let Some(old) = &mut self.old else { return Work::new(self.store.place()?, None) };
        match old.version.take().map(|version| self.store.claim(&self.key, version)) {
            Some(Ok(place)) => Work::upon(place),
            Some(Err(version)) => {
                let from = version.place.root()?;
                old.version = Some(version);
                Work::new(self.store.place()?, Some(from))
            }
            None => Err(Error::system("a context was given up twice")),
        }
    }

    /// Some content of a file, or that there is no more of it.
    fn arrived(&mut self, id: u32, data: &[u8]) -> Result<()> {
        let number = usize::try_from(id).unwrap_or(usize::MAX);
        let (Some(slot), Some(work)) = (self.wanted.get_mut(&id), &mut self.work) else {
            return Err(Error::invalid(format!(
                "the client sent the content of file {id}, which was not asked for"
            )));
        };
        let known = &mut self.files[number];
        let arriving = match slot {
            Some(arriving) => arriving,
            None => {
                self.open += 1;
                if self.open > self.limits.open {
                    return Err(Error::invalid("the client sends too many files at once"));
                }
                let file = File::from(work.create(&known.stat)?);
                slot.insert(Arriving { file, hash: Sha256::new() })
            }
        };
        if data.is_empty() {
            let failed = |error: rustix::io::Errno| {
                let path = String::from_utf8_lossy(&known.stat.path);
                Error::io(format_args!("set the mode of {path:?} of the context"), error.into())
            };
            finish(arriving.file.as_fd(), &known.stat).map_err(failed)?;
            known.content = Some(arriving.hash.clone().finalize().into());
            self.wanted.remove(&id);
            self.open -= 1;
            return Ok(());
        }
        arriving.hash.update(data);
        arriving.file.write_all(data).map_err(|error| {
            let path = String::from_utf8_lossy(&known.stat.path);
            Error::io(format_args!("write {path:?} of the context"), error)
        })?;
        let before = self.received / LOOK;
        self.received += data.len() as u64;
        if self.received / LOOK == before { Ok(()) } else { work.room(LEFT) }
    }

    /// All is here: links, and what directories get last.
    fn settle(mut self) -> Result<Received> {
        if self.work.is_none() {
            if let Some(Old { version: Some(version), index }) = self.old {
                return Ok(Received { version, index });
            }
            self.work()?;
        }
        let links = std::mem::take(&mut self.links);
        for number in links {
            let first = self.linked(&self.files[number].stat)?;
            self.files[number].content = self.files[first].content;
            let (Some(work), known) = (&mut self.work, &self.files[number]) else { continue };
            work.link(&known.stat)?;
        }
        let index = Index(std::mem::take(&mut self.files));
        let Some(mut work) = self.work else {
            return Err(Error::system("a transfer without a place"));
        };
        work.settle(&index)?;
        let version = self.store.keep(&self.key, &self.name, work.into_place(), &index)?;
        Ok(Received { version, index: Arc::new(index) })
    }
}
