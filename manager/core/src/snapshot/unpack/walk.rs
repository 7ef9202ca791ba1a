//! The way to a path: one component at a time, through links that stay inside.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::metadata::{self, Late, failed};
use super::tree::{DIRECTORY, Place, Tree};
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::lookup::{Below, Likeness};

/// Symbolic links that one path may lead through, as in the kernel.
const MOST_LINKS: usize = 40;

/// What to do where a directory on the way isn't there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it, like that of the layers below if they have it.
    Make,
    /// Give up: nothing can be there.
    Stop,
}

/// An open directory and its path, with no link on the way.
type Directory = (Vec<u8>, Rc<OwnedFd>);

/// Where a step of a walk leads.
enum Step {
    Into(Rc<OwnedFd>),
    Link(Vec<u8>),
    Nowhere,
}

impl Tree<'_> {
    /// Where the member `path` goes; `None`: it is the root, or a directory on the way is missing
    /// and `missing` says to stop.
    pub(super) fn place(&mut self, path: &[u8], missing: Missing) -> Result<Option<Place>> {
        let plain = path::plain(path)?;
        let (above, name) = path::split(&plain);
        if name.is_empty() {
            return Ok(None);
        }
        let Some((above, directory)) = self.directory(above, missing)? else {
            return Ok(None);
        };
        Ok(Some(Place { directory, above, name: name.to_vec() }))
    }

    /// The directory at the plain path `path`, through links inside the tree.
    pub(super) fn directory(&mut self, path: &[u8], missing: Missing) -> Result<Option<Directory>> {
        if let Some(directory) = self.opened(path) {
            return Ok(Some((path.to_vec(), directory)));
        }
        self.walk(path, missing)
    }

    fn walk(&mut self, path: &[u8], missing: Missing) -> Result<Option<Directory>> {
        let mut here = Vec::new();
        let mut directory = self.root();
        let mut links = 0;
        let mut ahead: VecDeque<Vec<u8>> = components(path);
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                let above = path::parent(&here).to_vec();
                match self.directory(&above, Missing::Stop)? {
                    Some((_, parent)) => (here, directory) = (above, parent),
                    None => return Ok(None),
                }
                continue;
            }
            let next = path::join(&here, &name);
            let target = match self.step(&directory, &next, &name, missing)? {
                Step::Into(child) => {
                    (here, directory) = (next, child);
                    continue;
                }
                Step::Link(target) => target,
                Step::Nowhere => return Ok(None),
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(Error::invalid("its path leads through too many symbolic links"));
            }
            if target.starts_with(b"/") {
                (here, directory) = (Vec::new(), self.root());
            }
            let mut onward = components(&target);
            onward.append(&mut ahead);
            ahead = onward;
        }
        Ok(Some((here, directory)))
    }

    /// One step of the walk: from `directory` to `name`, whose whole path is `next`.
    fn step(
        &mut self,
        directory: &Rc<OwnedFd>,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step> {
        if let Some(child) = self.opened(next) {
            return Ok(Step::Into(child));
        }
        match rustix::fs::openat(directory, name, DIRECTORY, Mode::empty()) {
            Ok(child) => return Ok(Step::Into(self.keep(next, child))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(failed("open a directory on its way", errno)),
        }
        let place = Place {
            directory: Rc::clone(directory),
            above: path::parent(next).to_vec(),
            name: name.to_vec(),
        };
        match self.look(&place)? {
            Some(stat) if self.marks.is_whiteout(&stat) => {
                if missing == Missing::Stop {
                    return Ok(Step::Nowhere);
                }
                self.make_directory(&place)?;
                self.set_late(next.to_vec(), Late::unsaid())?;
                self.enter(directory, next, name)
            }
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                self.read_link(directory, name)
            }
            Some(_) => Err(Error::invalid("its path leads through something that is no directory")),
            None => self.step_below(&place, next, missing),
        }
    }

    /// A step where this layer has nothing: the layers below may have a directory or a link there.
    fn step_below(&mut self, place: &Place, next: &[u8], missing: Missing) -> Result<Step> {
        let below = if self.is_hidden(next) { Below::Nothing } else { self.lowers.find(next)? };
        if let Below::Symlink(target) = below {
            return Ok(Step::Link(target));
        }
        if missing == Missing::Stop {
            return Ok(Step::Nowhere);
        }
        rustix::fs::mkdirat(&place.directory, place.name.as_slice(), Mode::RWXU)
            .map_err(|errno| failed("make a directory on its way", errno))?;
        match below {
            Below::Directory(original) => self.imitate(place, &original)?,
            Below::Symlink(_) | Below::File(..) | Below::Nothing => {
                self.set_late(next.to_vec(), Late::unsaid())?;
            }
        }
        self.enter(&place.directory, next, &place.name)
    }

    /// Makes the new directory like the one below, which it will be seen in place of.
    fn imitate(&mut self, place: &Place, original: &Likeness) -> Result<()> {
        let Likeness { uid, gid, .. } = *original;
        metadata::set_owner(place.directory.as_fd(), &place.name, uid, gid)?;
        let name = place.name.as_slice();
        let made = rustix::fs::openat(&place.directory, name, DIRECTORY, Mode::empty())
            .map_err(|errno| failed("open a directory on its way", errno))?;
        metadata::set_attributes(made.as_fd(), &original.attributes)?;
        self.note_attributes(&original.attributes);
        self.set_late(place.path(), Late::like(original))
    }

    fn enter(&mut self, directory: &Rc<OwnedFd>, next: &[u8], name: &[u8]) -> Result<Step> {
        let child = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
            .map_err(|errno| failed("open a directory on its way", errno))?;
        Ok(Step::Into(self.keep(next, child)))
    }

    fn read_link(&self, directory: &Rc<OwnedFd>, name: &[u8]) -> Result<Step> {
        let target = rustix::fs::readlinkat(directory, name, Vec::new())
            .map_err(|errno| failed("read a link on its way", errno))?;
        Ok(Step::Link(target.into_bytes()))
    }
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}
