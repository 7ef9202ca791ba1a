//! Removing cgroups: never stops at a failure, and gives processes on their way out some time.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::processes::children;
use crate::error::{Error, Kind, Result};

/// How long removal may take, for all cgroups together.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes each of `directories` and what is below.
pub(super) fn remove<'a>(directories: impl Iterator<Item = &'a Path>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let failures: Vec<Error> =
        directories.filter_map(|directory| remove_tree(directory, deadline).err()).collect();
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(Error::remote(Kind::System, first.errno(), texts.join("; "))),
    }
}

/// Removes one directory, its children first if it has any.
fn remove_tree(directory: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_millis(1);
    loop {
        match rustix::fs::rmdir(directory) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(refused(directory, errno)),
        }
        // Busy: there are cgroups below, or processes that have not gone yet.
        for child in children(directory)? {
            remove_tree(&child, deadline)?;
        }
        match rustix::fs::rmdir(directory) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(64));
            }
            Err(errno) => return Err(refused(directory, errno)),
        }
    }
}

fn refused(directory: &Path, errno: Errno) -> Error {
    Error::system(format!("rmdir {}", directory.display()), errno)
}
