//! A file of a lower layer that this one links to must be in this one too.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Gid, Mode, Uid};

use super::metadata::{self, failed};
use super::tree::{Place, Tree};
use crate::error::{Error, Result};
use crate::snapshot::driver::copy_data;
use crate::snapshot::lookup::Below;
use crate::snapshot::way::{Missing, Way};

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
        let size = self.allow_copy(content.as_fd())?;
        let copy = self.create(&place, Mode::RUSR | Mode::WUSR)?;
        copy_data(content.as_fd(), copy.as_fd(), size)
            .map_err(|error| error.while_doing("copy the file that it links to"))?;
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

    /// The size of a file that is to be copied. It counts as if the layer had it in its archive.
    fn allow_copy(&mut self, content: BorrowedFd<'_>) -> Result<u64> {
        let stat = rustix::fs::fstat(content)
            .map_err(|errno| failed("look at the file that it links to", errno))?;
        let size = stat.st_size.cast_unsigned();
        self.copied_bytes = self.copied_bytes.saturating_add(size);
        if self.copied_bytes > self.most_copied {
            return Err(Error::invalid(format!(
                "with the files of other layers that it links to, the layer has more than the {} \
                 bytes that are allowed",
                self.most_copied
            )));
        }
        Ok(size)
    }
}
