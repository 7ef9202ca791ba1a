//! The files of one log: `x.log`, which is written, and `x.log.1`, `x.log.2.gz` and so on, which
//! were and are older the higher their number.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::error::{Error, Result};

/// How often the list is made anew at most until it is the same twice: a rotation may come in
/// between, and renames one file after the other.
const ATTEMPTS: usize = 16;

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
    /// How long it was when it was opened.
    pub(super) length: u64,
    /// Which file it was before it was compressed, where that is known.
    packed: Option<u64>,
}

impl LogFile {
    /// Opens the one that is written; `None` if there is none now.
    pub(super) fn current(path: &Path) -> Result<Option<Self>> {
        open(path, false)
    }

    /// Whether it has what was in `other`, a file that is open: as long as it is, no other file gets
    /// its number.
    fn holds(&self, other: Identity) -> bool {
        self.identity == other || self.packed == Some(other.inode)
    }
}

/// The files that were written after `file`, which is open, oldest first.
pub(super) fn after(path: &Path, file: Identity) -> Result<Vec<LogFile>> {
    let mut files = all(path)?;
    // Before it was that file's, its number may have been an older one's. If none has it, it is
    // older than all that are left.
    let place = files.iter().rposition(|other| other.holds(file));
    Ok(files.split_off(place.map_or(0, |place| place + 1)))
}

/// Which file `path` leads to now.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|facts| identity_of(&facts))
}

/// All files of the log at `path`, oldest first.
pub(super) fn all(path: &Path) -> Result<Vec<LogFile>> {
    let mut files = list(path)?;
    for _ in 0..ATTEMPTS {
        let again = list(path)?;
        let same = files.iter().map(|file| file.identity).eq(again.iter().map(|f| f.identity));
        files = again;
        if same {
            break;
        }
    }
    files.reverse();
    Ok(files)
}

fn list(path: &Path) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    files.extend(LogFile::current(path)?);
    let mut missing = 0;
    for number in 1.. {
        // The plain one is there until the compressed one is complete.
        let rotated = match open(&numbered(path, number, ""), false)? {
            Some(file) => Some(file),
            None => open(&numbered(path, number, ".gz"), true)?,
        };
        missing = if rotated.is_some() { 0 } else { missing + 1 };
        files.extend(rotated);
        // In the middle of a rotation one number is free.
        if missing == 2 {
            break;
        }
    }
    Ok(files)
}

fn open(path: &Path, compressed: bool) -> Result<Option<LogFile>> {
    let failed = |error| Error::io(format!("open the log {}", path.display()), error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    let (identity, length) = (identity_of(&facts), facts.len());
    let packed = if compressed { packed(&file).map_err(failed)? } else { None };
    Ok(Some(LogFile { file, identity, compressed, length, packed }))
}

/// What the shim notes in a compressed file's head.
fn packed(mut file: &File) -> io::Result<Option<u64>> {
    #[derive(serde::Deserialize)]
    struct Note {
        inode: Option<u64>,
    }
    let head = GzDecoder::new(file);
    let note = head.header().and_then(|header| header.extra());
    let note = note.and_then(|note| serde_json::from_slice::<Note>(note).ok());
    file.rewind()?;
    Ok(note.and_then(|note| note.inode))
}

fn identity_of(facts: &std::fs::Metadata) -> Identity {
    Identity { device: facts.dev(), inode: facts.ino() }
}

fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}{suffix}"));
    PathBuf::from(name)
}
