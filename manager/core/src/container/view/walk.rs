//! The way to a path in a view: one component at a time, as the kernel would go, but from mount to
//! mount of the view.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Access, Layer, View};
use crate::container::rootfs::Ids;
use crate::image::archive::path;

/// Symbolic links that one path may lead through, as in the kernel.
const MOST_LINKS: usize = 40;
/// Directories that one path may lead through, all of which are open.
const DEEPEST: usize = 1024;

/// A handle that opens nothing: neither a link is followed nor a device told.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What to do with a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Last {
    /// Follow it.
    Follow,
    /// It is what was asked for, unless the path ends in a slash.
    Keep,
}

/// What is at a path.
#[derive(Clone)]
pub(in crate::container) struct Found {
    /// It, opened as a handle only.
    pub(in crate::container) handle: Arc<OwnedFd>,
    /// What it is.
    pub(in crate::container) stat: Stat,
    /// What may be done there.
    pub(in crate::container) access: Access,
    /// Whose ids are seen there.
    pub(in crate::container) ids: Ids,
    /// Its path from the root, with no link on the way.
    pub(in crate::container) path: Vec<u8>,
    /// It, or the directory that it is in, and all above.
    above: Vec<Step>,
}

/// A directory on the way.
#[derive(Clone)]
struct Step {
    layer: Layer,
    name: Vec<u8>,
}

/// A path that leads to nothing.
#[derive(Debug)]
pub(in crate::container) struct Stopped {
    /// Why.
    pub(in crate::container) errno: Errno,
    /// Where it would lead, as far as that can be told.
    pub(in crate::container) path: Vec<u8>,
}

impl Found {
    /// Whether it is a directory.
    pub(in crate::container) fn is_directory(&self) -> bool {
        is(&self.stat, FileType::Directory)
    }

    /// Whether it is a symbolic link.
    pub(in crate::container) fn is_link(&self) -> bool {
        is(&self.stat, FileType::Symlink)
    }
}

impl View {
    /// What is at `path`, seen from the root.
    pub(in crate::container) fn find(&self, path: &[u8], last: Last) -> Result<Found, Stopped> {
        Walk::new(self, Vec::new()).go(path, last)
    }

    /// What is at `path`, seen from the directory `from` unless it begins with a slash.
    pub(in crate::container) fn find_from(
        &self,
        from: &Found,
        path: &[u8],
        last: Last,
    ) -> Result<Found, Stopped> {
        Walk::new(self, from.above.clone()).go(path, last)
    }
}

/// A walk under way.
struct Walk<'a> {
    view: &'a View,
    /// The directories below the root that were entered.
    steps: Vec<Step>,
    links: usize,
}

impl<'a> Walk<'a> {
    fn new(view: &'a View, steps: Vec<Step>) -> Self {
        Self { view, steps, links: 0 }
    }

    fn go(mut self, path: &[u8], last: Last) -> Result<Found, Stopped> {
        if path.starts_with(b"/") {
            self.steps.clear();
        }
        let mut ahead = components(path);
        let mut is_directory = ends_as_directory(path);
        while let Some(name) = ahead.pop_front() {
            let is_last = ahead.is_empty();
            if name == b".." {
                self.steps.pop();
                continue;
            }
            let step = self.step(&name).map_err(|errno| self.stopped(errno, &name, &ahead))?;
            let (layer, stat) = step;
            if is(&stat, FileType::Symlink) && !(is_last && last == Last::Keep && !is_directory) {
                let target =
                    self.target(&layer).map_err(|errno| self.stopped(errno, &name, &ahead))?;
                // A link at the end may say itself that it means a directory.
                is_directory |= is_last && ends_as_directory(&target);
                let mut onward = components(&target);
                onward.append(&mut ahead);
                ahead = onward;
                continue;
            }
            if is(&stat, FileType::Directory) {
                if self.steps.len() == DEEPEST {
                    return Err(self.stopped(Errno::NAMETOOLONG, &name, &ahead));
                }
                self.steps.push(Step { layer, name });
                continue;
            }
            if !is_last || is_directory {
                return Err(self.stopped(Errno::NOTDIR, &name, &ahead));
            }
            return Ok(self.at(layer, stat, &name));
        }
        self.here()
    }

    /// One step: what `name` is in the directory that was entered last.
    fn step(&self, name: &[u8]) -> Result<(Layer, Stat), Errno> {
        let from = self.layer();
        let handle = rustix::fs::openat(&*from.handle, name, HANDLE, Mode::empty())?;
        let stat = rustix::fs::fstat(&handle)?;
        let Some(over) = self.view.layer_over(&stat) else {
            let (access, ids) = (from.access, from.ids.clone());
            return Ok((Layer { handle: Arc::new(handle), access, ids }, stat));
        };
        let stat = rustix::fs::fstat(&*over.handle)?;
        Ok((over.clone(), stat))
    }

    /// Where the link `link` leads; an absolute one leads from the root.
    fn target(&mut self, link: &Layer) -> Result<Vec<u8>, Errno> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        let target = rustix::fs::readlinkat(&*link.handle, "", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            self.steps.clear();
        }
        Ok(target)
    }

    fn layer(&self) -> &Layer {
        self.steps.last().map_or(&self.view.root, |step| &step.layer)
    }

    /// The directory that was entered last.
    fn here(self) -> Result<Found, Stopped> {
        let layer = self.layer().clone();
        let path = self.path();
        match rustix::fs::fstat(&*layer.handle) {
            Ok(stat) => {
                let Layer { handle, access, ids } = layer;
                Ok(Found { handle, stat, access, ids, path, above: self.steps })
            }
            Err(errno) => Err(Stopped { errno, path }),
        }
    }

    /// What is no directory, in the directory that was entered last.
    fn at(self, layer: Layer, stat: Stat, name: &[u8]) -> Found {
        let Layer { handle, access, ids } = layer;
        let path = path::join(&self.path(), name);
        Found { handle, stat, access, ids, path, above: self.steps }
    }

    fn path(&self) -> Vec<u8> {
        let mut path = Vec::new();
        self.steps.iter().for_each(|step| path::push(&mut path, &step.name));
        path
    }

    fn stopped(&self, errno: Errno, name: &[u8], ahead: &VecDeque<Vec<u8>>) -> Stopped {
        let mut path = path::join(&self.path(), name);
        for name in ahead {
            if name == b".." {
                path.truncate(path::parent(&path).len());
            } else {
                path::push(&mut path, name);
            }
        }
        Stopped { errno, path }
    }
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}

/// Whether a path says that it is a directory's: `a/`, `a/.`.
fn ends_as_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.") || path == b"."
}
