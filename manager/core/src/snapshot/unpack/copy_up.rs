//! A file of a lower layer that this one links to must be in this one too.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Mode, Uid};

use super::metadata::{self, failed};
use super::tree::{Place, Tree};
use super::walk::Missing;
use crate::error::{Error, Result};
use crate::snapshot::lookup::Below;

impl Tree<'_> {
    /// Copies the regular file that the lower layers have at `target` to the same place in this
    /// one. `None`: they have none.
    pub(super) fn copy_up(&mut self, target: &[u8]) -> Result<Option<Place>> {
        let Some(place) = self.place(target, Missing::Make)? else {
            return Ok(None);
        };
        let path = place.path();
        if self.is_hidden(&path) {
            return Ok(None);
        }
        let Below::File(likeness, content) = self.lowers.find(&path)? else {
            return Ok(None);
        };
        let mut copy = File::from(self.create(&place, Mode::RUSR | Mode::WUSR)?);
        io::copy(&mut File::from(content), &mut copy)
            .map_err(|error| Error::io("copy the file that it links to", error))?;
        let (owner, group) = (Uid::from_raw(likeness.uid), Gid::from_raw(likeness.gid));
        rustix::fs::fchown(&copy, Some(owner), Some(group))
            .map_err(|errno| failed("set the owner", errno))?;
        rustix::fs::fchmod(&copy, Mode::from_raw_mode(likeness.mode))
            .map_err(|errno| failed("set the mode", errno))?;
        metadata::set_attributes(copy.as_fd(), &likeness.attributes)?;
        rustix::fs::futimens(&copy, &metadata::times(likeness.modified()))
            .map_err(|errno| failed("set the time", errno))?;
        self.remember(&path)?;
        self.copied.insert(path);
        Ok(Some(place))
    }
}
