//! `tared`'s side: it answers the process that unpacks, and does for it what that may not do.
//!
//! The process may have been taken over by what it reads. What it asks for is no more than it could
//! make of its layer anyway: overlay's mark on a directory, and device nodes, in directories that it
//! has itself opened, below its own root.

use std::os::fd::{AsFd, OwnedFd};

use super::Task;
use super::line::Line;
use super::privileged;
use super::words::{Answer, Devices, Kind, Order, Said};
use crate::error::{Error, Result};
use crate::snapshot::lookup::Below;

/// Tells the process what to do in `root`, and answers it until it is done: gives the bytes of the
/// files in the layer. `None`: it died.
pub(super) fn serve(task: &Task<'_>, root: OwnedFd, line: &Line) -> Result<Option<u64>> {
    let Task { kind, limits, .. } = *task;
    let order = Order { kind, has_lowers: !task.lowers.is_empty(), limits };
    if !line.say(&order, Some(root.as_fd()))? {
        return Ok(None);
    }
    while let Some((said, with)) = line.hear_unless::<Said>(task.given_up)? {
        let answered = match said {
            Said::Done { size } => return Ok(Some(size)),
            Said::Failed(failure) => return Err(failure.into()),
            said => answer(task, said, with),
        };
        let (answer, with) = answered.unwrap_or_else(|error| (Answer::Failed(error.into()), None));
        if !line.say(&answer, with.as_ref().map(AsFd::as_fd))? {
            break;
        }
    }
    Ok(None)
}

fn answer(task: &Task<'_>, said: Said, with: Option<OwnedFd>) -> Result<(Answer, Option<OwnedFd>)> {
    let directory = || with.ok_or_else(|| Error::system("a word came without its directory"));
    let answer = match said {
        Said::Find(path) => match task.lowers.find(&path)? {
            Below::Directory(likeness) => Answer::Directory(likeness),
            Below::Symlink(target) => Answer::Symlink(target),
            Below::File(likeness, file) => return Ok((Answer::File(likeness), Some(file))),
            Below::Nothing => Answer::Nothing,
        },
        Said::Names => Answer::Names(task.lowers.names()?.into_iter().collect()),
        Said::Opaque => {
            privileged::make_opaque_here(directory()?.as_fd())?;
            Answer::Made
        }
        Said::Device { .. } if task.kind == Kind::Files(Devices::Refuse) => {
            return Err(Error::invalid(
                "it is a device, and devices are made only if that is asked for: devices=true",
            ));
        }
        Said::Device { name, block, major, minor } => {
            privileged::make_device_here(directory()?.as_fd(), &name, block, (major, minor))?;
            Answer::Made
        }
        Said::Done { .. } | Said::Failed(_) => {
            return Err(Error::system("a last word is not answered"));
        }
    };
    Ok((answer, None))
}
