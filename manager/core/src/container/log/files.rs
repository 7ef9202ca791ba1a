//! The files of one log: `x.log`, which is written, and `x.log.1`, `x.log.2.gz` and so on, which
//! were and are older the higher their number.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How often a list is made anew if a rotation comes in between.
const ATTEMPTS: usize = 8;

/// Which file it is, whatever its name is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// An open file of a log.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    pub(super) identity: Identity,
    pub(super) compressed: bool,
    /// It is the one that is written.
    pub(super) current: bool,
}

impl LogFile {
    /// Opens the one that is written; `None` if there is none now.
    pub(super) fn current(path: &Path) -> Result<Option<Self>> {
        open(path, false, true)
    }
}

/// Which file `path` leads to now.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|facts| identity_of(&facts))
}

/// All files of the log at `path`, oldest first.
pub(super) fn all(path: &Path) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for _ in 0..ATTEMPTS {
        files = list(path)?;
        let twice = files.iter().enumerate().any(|(place, file)| {
            files.iter().skip(place + 1).any(|other| other.identity == file.identity)
        });
        // A file that was renamed while we went through the names shows up twice.
        if !twice {
            break;
        }
    }
    files.reverse();
    Ok(files)
}

fn list(path: &Path) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    files.extend(LogFile::current(path)?);
    for number in 1.. {
        // The plain one is there until the compressed one is complete.
        let rotated = match open(&numbered(path, number, ""), false, false)? {
            Some(file) => Some(file),
            None => open(&numbered(path, number, ".gz"), true, false)?,
        };
        match rotated {
            Some(file) => files.push(file),
            None => break,
        }
    }
    Ok(files)
}

fn open(path: &Path, compressed: bool, current: bool) -> Result<Option<LogFile>> {
    let failed = |error| Error::io(format!("open the log {}", path.display()), error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let identity = identity_of(&file.metadata().map_err(failed)?);
    Ok(Some(LogFile { file, identity, compressed, current }))
}

fn identity_of(facts: &std::fs::Metadata) -> Identity {
    Identity { device: facts.dev(), inode: facts.ino() }
}

fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}{suffix}"));
    PathBuf::from(name)
}
