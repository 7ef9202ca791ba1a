//! The process that unpacks one layer.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::CapabilitySet;

use super::line::{self, Line};
use super::words::{Answer, Kind, Order, Said};
use super::{PIECE, fence, privileged};
use crate::error::{Error, Result};
use crate::snapshot::driver::{self, DriverName};
use crate::snapshot::lookup::{Alone, Below, Lookup};
use crate::snapshot::marks::Marks;
use crate::snapshot::{directory, unpack};

/// Does the work of the process. Standard input is the layer's archive, standard output the line to
/// whoever started it.
pub(super) fn run() -> Result<()> {
    let end = |error| Error::io("take the line to the manager", error);
    let line = Line::new(io::stdout().as_fd().try_clone_to_owned().map_err(end)?);
    let (order, root) = line.hear::<Order>()?.ok_or_else(line::left)?;
    let root = root.ok_or_else(|| Error::system("there is no directory to unpack to"))?;
    privileged::ask_over(line);
    let said = match carry_out(order, root) {
        Ok(said) => said,
        Err(error) => Said::Failed(error.into()),
    };
    privileged::tell(&said)
}

fn carry_out(order: Order, root: OwnedFd) -> Result<Said> {
    let Order { kind, has_lowers, limits } = order;
    let source = io::stdin().as_fd().try_clone_to_owned();
    let source = File::from(source.map_err(|error| Error::io("take the stream", error))?);
    let mut archive = BufReader::with_capacity(PIECE, source);
    let capabilities = match kind {
        Kind::Files(_) | Kind::Over(_) | Kind::Layer(DriverName::Overlay | DriverName::Copying) => {
            fence::FOR_FILES
        }
        // One file of its own is all that it makes.
        Kind::Layer(DriverName::Erofs) => CapabilitySet::empty(),
    };
    fence::close(root.as_fd(), capabilities, &limits)?;
    // What came is a handle that opens nothing.
    let files = directory::open_handle(root.as_fd())?;
    let size = match kind {
        Kind::Layer(name) => {
            driver::unpack(name, &mut archive, files, &Asked { has_lowers }, &limits)?
        }
        Kind::Files(_) => unpack::unpack(&mut archive, files, &Alone, Marks::Unknown, &limits)?,
        Kind::Over(owner) => unpack::unpack_over(&mut archive, files, owner, &limits)?,
    };
    Ok(Said::Done { size })
}

/// The layers below, as the manager tells of them.
struct Asked {
    has_lowers: bool,
}

impl Lookup for Asked {
    fn is_empty(&self) -> bool {
        !self.has_lowers
    }

    fn find(&self, path: &[u8]) -> Result<Below> {
        match privileged::ask(&Said::Find(path.to_vec()), None)? {
            Some((Answer::Directory(likeness), _)) => Ok(Below::Directory(likeness)),
            Some((Answer::Symlink(target), _)) => Ok(Below::Symlink(target)),
            Some((Answer::File(likeness), Some(content))) => Ok(Below::File(likeness, content)),
            Some((Answer::Nothing, _)) => Ok(Below::Nothing),
            _ => Err(unexpected()),
        }
    }

    fn names(&self) -> Result<BTreeSet<Vec<u8>>> {
        match privileged::ask(&Said::Names, None)? {
            Some((Answer::Names(names), _)) => Ok(names.into_iter().collect()),
            _ => Err(unexpected()),
        }
    }
}

fn unexpected() -> Error {
    Error::system("the manager gave another answer than was asked for")
}
