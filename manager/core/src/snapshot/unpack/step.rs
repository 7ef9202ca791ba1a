//! A step on the way to a path, in a tree that is held by descriptors.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::metadata::{self, Late, failed};
use super::tree::{DIRECTORY, Place, Tree};
use crate::error::{Error, Result};
use crate::image::archive::path;
use crate::snapshot::lookup::{Below, Likeness};
use crate::snapshot::way::{Missing, Step, Way};

impl Way for Tree<'_> {
    type Directory = Rc<OwnedFd>;

    fn root(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.root)
    }

    fn known(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>> {
        Ok(self.directory(path, Missing::Stop)?.map(|(_, directory)| directory))
    }

    fn step(
        &mut self,
        directory: &Rc<OwnedFd>,
        next: &[u8],
        name: &[u8],
        missing: Missing,
    ) -> Result<Step<Rc<OwnedFd>>> {
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
}

impl Tree<'_> {
    /// The directory at the plain path `path`, through links inside the tree, and its path with no
    /// link on the way.
    pub(super) fn directory(
        &mut self,
        path: &[u8],
        missing: Missing,
    ) -> Result<Option<(Vec<u8>, Rc<OwnedFd>)>> {
        match self.opened(path) {
            Some(directory) => Ok(Some((path.to_vec(), directory))),
            None => self.walk(path, missing),
        }
    }

    /// A step where this layer has nothing: the layers below may have a directory or a link there.
    fn step_below(
        &mut self,
        place: &Place,
        next: &[u8],
        missing: Missing,
    ) -> Result<Step<Rc<OwnedFd>>> {
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

    fn enter(
        &mut self,
        directory: &Rc<OwnedFd>,
        next: &[u8],
        name: &[u8],
    ) -> Result<Step<Rc<OwnedFd>>> {
        let child = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
            .map_err(|errno| failed("open a directory on its way", errno))?;
        Ok(Step::Into(self.keep(next, child)))
    }

    fn read_link(&self, directory: &Rc<OwnedFd>, name: &[u8]) -> Result<Step<Rc<OwnedFd>>> {
        let target = rustix::fs::readlinkat(directory, name, Vec::new())
            .map_err(|errno| failed("read a link on its way", errno))?;
        Ok(Step::Link(target.into_bytes()))
    }
}
