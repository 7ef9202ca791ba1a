//! The process that unpacks one layer.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use super::line::{self, Line};
use super::words::{Answer, Order, Said};
use super::{NAME, fence, privileged};
use crate::error::{Error, Result};
use crate::image::pipeline::decoded;
use crate::snapshot::driver;
use crate::snapshot::lookup::{Below, Lookup};

/// If this process was started to unpack a layer, does that, and says how to end; a program that
/// layers are unpacked by asks for this before all else. Standard input is the compressed stream,
/// standard output the line to whoever started it.
pub fn run_if_unpacker() -> Option<ExitCode> {
    if std::env::args_os().next()? != NAME {
        return None;
    }
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        // There is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    })
}

fn run() -> Result<()> {
    close_inherited();
    let end = |error| Error::io("take the line to the manager", error);
    let line = Line::new(io::stdout().as_fd().try_clone_to_owned().map_err(end)?);
    let (order, root) = line.hear::<Order>()?.ok_or_else(line::left)?;
    let root = root.ok_or_else(|| Error::system("there is no directory to unpack to"))?;
    privileged::ask_over(line);
    let said = match unpack(order, root) {
        Ok(said) => said,
        Err(error) => Said::Failed(error.into()),
    };
    privileged::tell(&said)
}

fn unpack(order: Order, root: OwnedFd) -> Result<Said> {
    let Order { driver, has_lowers, known, limits } = order;
    let source = io::stdin().as_fd().try_clone_to_owned();
    let source = File::from(source.map_err(|error| Error::io("take the stream", error))?);
    fence::close(root, &limits)?;
    let lowers = Asked { has_lowers };
    let done = decoded(source, known, |chunks| {
        driver::unpack(driver, &mut limits.watch(chunks), Path::new("/"), &lowers, &limits)
    })?;
    Ok(Said::Done { size: done.outcome, digest: done.digest, compression: done.compression })
}

/// Closes all but the three streams: whoever started the manager may have left it something open.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let names = entries.flatten().map(|entry| entry.file_name());
    let open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // This program has opened none yet but the list itself, which is closed already.
        let _ = nix::unistd::close(descriptor);
    }
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
