//! The layers below: only looked at.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::driver::Drivers;
use super::lookup::{Below, Likeness, Lookup};
use super::marks::Marks;
use super::stack::Lower;
use crate::error::{Error, Result};
use crate::image::archive::path;

/// The layers below something, uppermost first. Each is opened when a look gets as far down, and
/// waited for there if it is still being unpacked; so looks may block.
pub(crate) struct Lowers(Vec<Beneath>);

struct Beneath {
    /// How to open it; `None`: it was open from the beginning.
    source: Option<(Lower, Arc<Drivers>)>,
    layer: OnceLock<Layer>,
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
        let beneath =
            |lower| Beneath { source: Some((lower, Arc::clone(drivers))), layer: OnceLock::new() };
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
        if let (None, Some((lower, drivers))) = (self.layer.get(), &self.source) {
            let opened = drivers.open_layer(lower.wait()?)?;
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
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat2(&layer.root, dotted(path), flags, Mode::empty(), RESOLVE).map_err(failed)
}

/// Whether `layer`, which has nothing at `path`, has something on the way that hides what the
/// layers below have there.
fn hides(layer: &Layer, path: &[u8]) -> Result<bool> {
    let mut above = path::parent(path);
    while !above.is_empty() {
        match rustix::fs::openat2(&layer.root, above, DIRECTORY, Mode::empty(), RESOLVE) {
            Ok(directory) => {
                if layer.marks.is_opaque(directory.as_fd())? {
                    return Ok(true);
                }
            }
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(true),
            Err(errno) => return Err(failed(errno)),
        }
        above = path::parent(above);
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
