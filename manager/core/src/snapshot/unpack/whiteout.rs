//! How a layer takes away what lies below: marks in its archive become overlay's.

use std::os::fd::AsFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::metadata::failed;
use super::tree::{Place, Tree};
use crate::error::{Error, Result};
use crate::snapshot::way::{Missing, Way};

const PREFIX: &[u8] = b".wh.";
const META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A member that only stands for something.
pub(crate) enum Mark {
    /// The thing of this name beside it is gone.
    Whiteout(Vec<u8>),
    /// All that lies below its directory is gone.
    Opaque,
    /// A note of AUFS to itself.
    Ignored,
}

/// What the name `name` stands for, if it isn't an ordinary one.
pub(crate) fn mark(name: &[u8]) -> Result<Option<Mark>> {
    let Some(hidden) = name.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    match hidden {
        _ if name == OPAQUE => Ok(Some(Mark::Opaque)),
        _ if name.starts_with(META) => Ok(Some(Mark::Ignored)),
        b"" | b"." | b".." => Err(Error::invalid("a whiteout must name something")),
        name => Ok(Some(Mark::Whiteout(name.to_vec()))),
    }
}

/// Refuses a path on which a directory has a name that only marks have: what is in it would be
/// nowhere, and the directory would itself be taken for a mark.
pub(crate) fn check_no_mark_above(path: &[u8]) -> Result<()> {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.next_back();
    if names.any(|name| name == OPAQUE || (name.starts_with(PREFIX) && !name.starts_with(META))) {
        return Err(Error::invalid("its path leads through the mark of something that is gone"));
    }
    Ok(())
}

impl Tree<'_> {
    /// Hides what lies below the directory that `place` is in.
    pub(super) fn apply_opaque(&mut self, place: &Place) -> Result<()> {
        if self.lowers.is_empty() {
            return Ok(());
        }
        if !place.above.is_empty() {
            self.marks.make_opaque(place.directory.as_fd())?;
        }
        self.set_opaque(place.above.clone())
    }

    /// Hides what lies below at `place`. What this layer itself has there stays.
    pub(super) fn apply_whiteout(&mut self, place: &Place) -> Result<()> {
        if self.lowers.is_empty() {
            return Ok(());
        }
        if self.copied.contains(&place.path()) {
            self.clear(place)?;
        }
        match self.marks.make_whiteout(place.directory.as_fd(), &place.name) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the whiteout", errno)),
        }
        match self.look(place)? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                self.hide_below(place)
            }
            _ => Ok(()),
        }
    }

    /// Overlay takes no notice of an opaque root: hides each thing in it by itself.
    pub(super) fn hide_below_root(&mut self) -> Result<()> {
        for name in &self.lowers.names()? {
            let place = self.place(name, Missing::Stop)?;
            if let Some(place) = place {
                self.apply_whiteout(&place)?;
            }
        }
        Ok(())
    }
}
