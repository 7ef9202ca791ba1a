//! One member of the archive becomes one thing of the tree.

use std::fs::File;
use std::io::{self, BufRead};
use std::ops::Range;

use tare_erofs::{Attributes, Content, FileData, Kind, NodeId, Time, Tree};

use super::{Layer, Place, failed, like};
use crate::error::{Error, Result};
use crate::image::archive::{Archive, Entry, EntryKind, Segment, path};
use crate::snapshot::lookup::Below;
use crate::snapshot::unpack::metadata;
use crate::snapshot::unpack::whiteout::{self, Mark};
use crate::snapshot::way::{Missing, Way};

impl Layer<'_> {
    /// Puts `entry`, whose data is next in `archive`, where it belongs. Returns its bytes.
    pub(super) fn apply<R: BufRead>(
        &mut self,
        entry: Entry,
        archive: &mut Archive<R>,
    ) -> Result<u64> {
        whiteout::check_no_mark_above(&entry.path)?;
        let Some(place) = self.place(&entry.path, Missing::Make)? else {
            return self.apply_root(&entry).map(|()| 0);
        };
        if let Some(mark) = whiteout::mark(&place.name)? {
            return self.apply_mark(mark, &place).map(|()| 0);
        }
        let said = attributes(&entry);
        let plain = Attributes { extended: Default::default(), ..said.clone() };
        match entry.kind {
            EntryKind::File { size, segments } => {
                let content = self.content(size, segments.as_deref(), archive)?;
                self.put(&place, Kind::File(content), said)?;
                return Ok(size);
            }
            EntryKind::Directory => self.apply_directory(&place, said)?,
            EntryKind::Symlink { target } => {
                self.put(&place, Kind::Symlink(target), Attributes { mode: 0o777, ..plain })?;
            }
            EntryKind::HardLink { target } => self.apply_hard_link(&place, &target)?,
            EntryKind::CharacterDevice { major, minor } => {
                self.put(&place, Kind::CharacterDevice(major, minor), plain)?;
            }
            EntryKind::BlockDevice { major, minor } => {
                self.put(&place, Kind::BlockDevice(major, minor), plain)?;
            }
            EntryKind::Fifo => self.put(&place, Kind::Fifo, plain)?,
        }
        Ok(0)
    }

    fn put(&mut self, place: &Place, kind: Kind, attributes: Attributes) -> Result<()> {
        self.tree.put(place.directory, &place.name, kind, attributes).map(drop).map_err(failed)
    }

    fn apply_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Directory {
            return Err(Error::invalid("the root of a layer must be a directory"));
        }
        self.root_is_said = true;
        self.describe(Tree::ROOT, attributes(entry))
    }

    fn apply_directory(&mut self, place: &Place, said: Attributes) -> Result<()> {
        let directory = self.make_directory(place.directory, &place.name)?;
        self.describe(directory, said)
    }

    /// Says of a directory what its member says. Extended attributes add up.
    fn describe(&mut self, directory: NodeId, mut said: Attributes) -> Result<()> {
        for (name, value) in &self.tree.attributes(directory).extended {
            said.extended.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.tree.set_attributes(directory, said).map_err(failed)
    }

    fn apply_hard_link(&mut self, place: &Place, target: &[u8]) -> Result<()> {
        let missing = || {
            let target = String::from_utf8_lossy(target);
            Error::invalid(format!("it is a hard link to {target:?}, which isn't there"))
        };
        let (path, original) = match self.original(target)? {
            Some(found) => found,
            None => self.copy_up(target)?.ok_or_else(missing)?,
        };
        if path == place.path() {
            return Ok(());
        }
        if path::is_within(&path, &place.path()) {
            // What is replaced holds the target.
            return Err(missing());
        }
        self.copied.remove(&(place.directory, place.name.clone()));
        self.tree.link(place.directory, &place.name, original).map_err(failed)
    }

    /// What this layer has at `target`, and its path with no link on the way.
    fn original(&mut self, target: &[u8]) -> Result<Option<(Vec<u8>, NodeId)>> {
        let Some(place) = self.place(target, Missing::Stop)? else { return Ok(None) };
        let found = self.tree.find(place.directory, &place.name);
        Ok(found.map(|original| (place.path(), original)))
    }

    /// Copies the regular file that the lower layers have at `target` to the same place in this
    /// one. `None`: they have none.
    fn copy_up(&mut self, target: &[u8]) -> Result<Option<(Vec<u8>, NodeId)>> {
        let Some(place) = self.place(target, Missing::Make)? else {
            return Ok(None);
        };
        let path = place.path();
        if self.is_hidden(&path) {
            return Ok(None);
        }
        let Below::File(likeness, original) = self.lowers.find(&path)? else {
            return Ok(None);
        };
        let content = self.copied(File::from(original))?;
        let kind = Kind::File(content);
        let put = self.tree.put(place.directory, &place.name, kind, like(likeness));
        let copy = put.map_err(failed)?;
        self.copied.insert((place.directory, place.name), copy);
        Ok(Some((path, copy)))
    }

    /// The content of a file of the layers below.
    fn copied(&mut self, original: File) -> Result<Content> {
        let content = self.data.copy(original, self.room).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                Error::invalid("with the files that it links to, the layer is too large")
            }
            _ => Error::io("copy the file that it links to", error),
        })?;
        self.room -= content.size();
        Ok(content)
    }

    fn apply_mark(&mut self, mark: Mark, place: &Place) -> Result<()> {
        match mark {
            Mark::Ignored => Ok(()),
            _ if self.lowers.is_empty() => Ok(()),
            Mark::Opaque => self.hide_below(place.directory),
            Mark::Whiteout(name) => self.apply_whiteout(place.directory, &name),
        }
    }

    /// Hides what lies below under `name`. What this layer itself has there stays, unless it was
    /// only copied from there.
    fn apply_whiteout(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let copy = self.copied.remove(&(directory, name.to_vec()));
        match self.tree.find(directory, name).filter(|there| copy != Some(*there)) {
            None => {
                let (gone, nothing) = (Kind::CharacterDevice(0, 0), Attributes::default());
                self.tree.put(directory, name, gone, nothing).map(drop).map_err(failed)
            }
            Some(node) if *self.tree.kind(node) == Kind::Directory => self.hide_below(node),
            Some(_) => Ok(()),
        }
    }

    /// Overlay takes no notice of an opaque root: hides each thing in it by itself.
    pub(super) fn hide_below_root(&mut self) -> Result<()> {
        for name in self.lowers.names()? {
            self.apply_whiteout(Tree::ROOT, &name)?;
        }
        Ok(())
    }

    /// Takes a file's data from the archive.
    fn content<R: BufRead>(
        &mut self,
        size: u64,
        segments: Option<&[Segment]>,
        archive: &mut Archive<R>,
    ) -> Result<Content> {
        let mut file = match segments {
            None => self.data.file(size),
            Some(segments) => {
                let part = |segment: &Segment| {
                    Some(segment.offset..segment.offset.checked_add(segment.length)?)
                };
                let parts: Option<Vec<Range<u64>>> = segments.iter().map(part).collect();
                let parts = parts.ok_or_else(|| Error::invalid("a sparse file has no end"))?;
                self.data.sparse_file(size, &parts)
            }
        }
        .map_err(failed)?;
        let length =
            segments.map_or(size, |segments| segments.iter().map(|segment| segment.length).sum());
        copy(&mut file, length, archive)?;
        let content = file.finish().map_err(failed)?;
        self.count(content.remembered())?;
        Ok(content)
    }
}

fn copy<R: BufRead>(
    file: &mut FileData<'_>,
    mut length: u64,
    archive: &mut Archive<R>,
) -> Result<()> {
    while length > 0 {
        let piece = archive.data()?;
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(piece.len());
        file.write(&piece[..wanted]).map_err(failed)?;
        archive.consume(wanted);
        length -= wanted as u64;
    }
    Ok(())
}

/// What a member says of itself, as far as a layer may.
fn attributes(entry: &Entry) -> Attributes {
    let extended = entry.attributes.iter().filter(|(name, _)| metadata::may_set(name)).cloned();
    Attributes {
        mode: (entry.mode & 0o7777) as u16,
        uid: entry.uid,
        gid: entry.gid,
        modified: Time { seconds: entry.modified.seconds, nanoseconds: entry.modified.nanoseconds },
        extended: extended.collect(),
    }
}
