//! Images of more layers than the kernel can stack: the lowest of them become one directory of the
//! container's, in which each file is a link to the layer's.

use std::os::fd::AsFd;
use std::path::Path;

use crate::error::{Error, Result};
use crate::snapshot::directory::{make, open};
use crate::snapshot::driver::lay::{How, lay};
use crate::snapshot::lowers::Lowers;
use crate::snapshot::quota;

/// The name of that directory, before the number of layers that stay above it.
const BELOW: &str = "below-";

/// The most directories that the kernel stacks.
const KERNEL_LIMIT: usize = 500;
/// Bytes of options that one mount takes where directories can't be given one by one: a page, less
/// what is said besides.
const ROOM: usize = 4096 - 256;

/// How many layers can be given to one mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stacking {
    /// One by one (Linux 6.8 and later): as many as the kernel stacks.
    OneByOne,
    /// All in one option: as many as have room there, by their short names.
    Together,
}

impl Stacking {
    /// The most layers below the snapshot `own`. Those below it are older: no name is longer.
    fn most(self, own: &Path) -> usize {
        match self {
            Self::OneByOne => KERNEL_LIMIT,
            Self::Together => {
                let number = own.file_name().map_or(0, std::ffi::OsStr::len);
                KERNEL_LIMIT.min(ROOM / (number + "/fs:".len()))
            }
        }
    }

    /// Makes one directory of the lowest layers if there are too many for the container `own`.
    pub(super) fn prepare(self, own: &Path, lowers: &Lowers) -> Result<()> {
        let most = self.most(own);
        if lowers.len() <= most {
            return Ok(());
        }
        let above = most - 1;
        let below = own.join(format!("{BELOW}{above}"));
        make(&below, 0o755)?;
        let target = open(&below)?;
        quota::exempt(target.as_fd())?;
        for layer in lowers.each().skip(above).rev() {
            lay(layer?, &target, How::Link)
                .map_err(|error| error.while_doing("put the lowest layers together"))?;
        }
        rustix::fs::syncfs(&target)
            .map_err(|errno| Error::io(format_args!("sync {}", own.display()), errno.into()))
    }
}

/// How many of the container's layers are mounted as they are, and the name of the directory that
/// stands for those below them, if there is one.
pub(super) fn merged(own: &Path) -> Option<(usize, String)> {
    let entries = std::fs::read_dir(own).ok()?;
    entries.filter_map(std::result::Result::ok).find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_prefix(BELOW)?.parse().ok()?, name))
    })
}
