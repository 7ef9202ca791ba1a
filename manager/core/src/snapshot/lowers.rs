//! The layers below: only looked at.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::driver::Drivers;
use super::lookup::{Below, Likeness, Lookup};
use super::marks::Marks;
use super::shielded;
use super::stack::Lower;
use crate::error::{Error, Result};
use crate::image::archive::path;

/// The layers below something, uppermost first. Each is opened when a look gets as far down, and
/// waited for there if it is still being unpacked; so looks may block.
pub(crate) struct Lowers(Vec<Beneath>);

struct Beneath {
    /// How to open it; `None`: it was open from the beginning.
    source: Option<Source>,
    layer: OnceLock<Layer>,
}

struct Source {
    lower: Lower,
    drivers: Arc<Drivers>,
    /// Whether nothing that is open there lets anyone change it.
    only_read: bool,
}

/// A layer, open for reading.
pub(crate) struct Layer {
    /// Its root.
    pub(crate) root: OwnedFd,
    /// How it says what is gone.
    pub(crate) marks: Marks,
}

/// Something of the lower layers, as a handle that opens nothing.
pub(crate) struct Seen {
    pub(crate) handle: OwnedFd,
    pub(crate) stat: Stat,
}

/// Layers were unpacked by us and have real directories only on the way to each path: one that
/// leads through a link isn't what is asked for.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Lowers {
    /// Layers that are there or will be, uppermost first.
    pub(super) fn new(stack: Vec<Lower>, drivers: &Arc<Drivers>) -> Self {
        Self::from_stack(stack, drivers, false)
    }

    /// The same, to be looked at by whoever must not change them: who owns a file could, by no more
    /// than having it open for reading, change its mode.
    pub(super) fn only_read(stack: Vec<Lower>, drivers: &Arc<Drivers>) -> Self {
        Self::from_stack(stack, drivers, true)
    }

    fn from_stack(stack: Vec<Lower>, drivers: &Arc<Drivers>, only_read: bool) -> Self {
        let beneath = |lower| Beneath {
            source: Some(Source { lower, drivers: Arc::clone(drivers), only_read }),
            layer: OnceLock::new(),
        };
        Self(stack.into_iter().map(beneath).collect())
    }

    /// Layers that are open, uppermost first.
    #[cfg(test)]
    pub(crate) fn open(layers: Vec<Layer>) -> Self {
        let beneath = |layer| Beneath { source: None, layer: OnceLock::from(layer) };
        Self(layers.into_iter().map(beneath).collect())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Each layer, uppermost first.
    pub(crate) fn each(
        &self,
    ) -> impl DoubleEndedIterator<Item = Result<&Layer>> + ExactSizeIterator {
        self.0.iter().map(Beneath::layer)
    }

    /// The root that is seen, if there are layers.
    pub(crate) fn root(&self) -> Result<Option<BorrowedFd<'_>>> {
        let top = self.each().next().transpose()?;
        Ok(top.map(|layer| layer.root.as_fd()))
    }

    /// What they have at the plain path `path`.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        Ok(self.topmost(path)?.map(|(_, seen)| seen))
    }

    /// The names in the directory that they together have at the plain path `path`; none if there
    /// is no directory.
    pub(crate) fn names(&self, path: &[u8]) -> Result<BTreeSet<Vec<u8>>> {
        let (mut names, mut decided) = (BTreeSet::new(), BTreeSet::new());
        for layer in self.each() {
            let layer = layer?;
            match rustix::fs::openat2(&layer.root, dotted(path), DIRECTORY, Mode::empty(), RESOLVE)
            {
                Ok(directory) => {
                    let is_opaque = layer.marks.is_opaque(directory.as_fd())?;
                    list(layer, directory, &mut names, &mut decided)?;
                    if is_opaque {
                        break;
                    }
                }
                Err(Errno::NOENT) if !hides(layer, path)? => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => break,
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(names)
    }

    fn topmost(&self, path: &[u8]) -> Result<Option<(&Layer, Seen)>> {
        for layer in self.each() {
            let layer = layer?;
            match rustix::fs::openat2(&layer.root, dotted(path), HANDLE, Mode::empty(), RESOLVE) {
                Ok(handle) => {
                    let stat = rustix::fs::fstat(&handle).map_err(failed)?;
                    let is_there = !layer.marks.is_whiteout(&stat);
                    return Ok(is_there.then_some((layer, Seen { handle, stat })));
                }
                Err(Errno::NOENT) if !hides(layer, path)? => {}
                // Something that is no directory stands on the way, or hides what is below it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(None)
    }
}

impl Lookup for Lowers {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, path: &[u8]) -> Result<Below> {
        let Some((layer, Seen { handle, stat })) = self.topmost(path)? else {
            return Ok(Below::Nothing);
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Below::Directory(Likeness::of(open(layer, path)?.as_fd())?),
            FileType::RegularFile => {
                let file = open(layer, path)?;
                Below::File(Likeness::of(file.as_fd())?, file)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&handle, "", Vec::new()).map_err(failed)?;
                Below::Symlink(target.into_bytes())
            }
            _ => Below::Nothing,
        })
    }

    fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        Lowers::names(self, b"")
    }
}

impl Beneath {
    fn layer(&self) -> Result<&Layer> {
        if let (None, Some(source)) = (self.layer.get(), &self.source) {
            let mut opened = source.drivers.open_layer(source.lower.wait()?)?;
            if source.only_read {
                opened.root = shielded::read_only(opened.root)?;
            }
            // Another thread may have been faster.
            let _ = self.layer.set(opened);
        }
        self.layer.get().ok_or_else(|| Error::system("a layer that was open is gone"))
    }
}

/// Adds what `layer` says of the names in one of its directories.
fn list(
    layer: &Layer,
    directory: OwnedFd,
    names: &mut BTreeSet<Vec<u8>>,
    decided: &mut BTreeSet<Vec<u8>>,
) -> Result<()> {
    let marks = layer.marks;
    for entry in Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") || marks.is_note(name) || !decided.insert(name.to_vec()) {
            continue;
        }
        let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
        if !marks.is_whiteout(&stat.map_err(failed)?) {
            names.insert(name.to_vec());
        }
    }
    Ok(())
}

fn open(layer: &Layer, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat2(&layer.root, dotted(path), flags, Mode::empty(), RESOLVE).map_err(failed)
}

/// Whether `layer`, which has nothing at `path`, has something on the way that hides what the
/// layers below have there. It goes down as far as the layer has directories there, a step at a time:
/// layers may be many, and paths deep.
fn hides(layer: &Layer, path: &[u8]) -> Result<bool> {
    let mut above: Option<OwnedFd> = None;
    for name in path::parent(path).split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let from = above.as_ref().unwrap_or(&layer.root);
        match rustix::fs::openat(from, name, DIRECTORY, Mode::empty()) {
            Ok(directory) if layer.marks.is_opaque(directory.as_fd())? => return Ok(true),
            Ok(directory) => above = Some(directory),
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(true),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(false)
}

/// The root has a name, too.
fn dotted(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

fn failed(errno: Errno) -> Error {
    Error::io("look at the layers below", errno.into())
}
