//! The files of one log: `x.log`, which is written, and `x.log.1`, `x.log.2.gz` and so on, which
//! were and are older the higher their number.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::error::{Error, Result};

/// How many numbers in a row are free at most before one that isn't: each rotation that goes on
/// meanwhile may have freed one.
const FREE_IN_A_ROW: usize = 16;

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
    /// Its number when it was opened; 0 if it was the one that is written.
    number: u32,
    /// Which file it was before it was compressed, where that is known.
    packed: Option<Origin>,
}

/// Which file one was that has been compressed and deleted, as the shim notes it in the head of the
/// compressed one. Its inode may be another file's by now, which was modified at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
struct Origin {
    inode: u64,
    /// Nanoseconds since 1970.
    modified: i128,
}

impl Origin {
    /// What will be noted of a file that is open.
    fn of(file: &File) -> io::Result<Self> {
        let facts = file.metadata()?;
        let modified = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
        Ok(Self { inode: facts.ino(), modified })
    }
}

impl LogFile {
    /// Opens the one that is written; `None` if there is none now.
    pub(super) fn current(path: &Path) -> Result<Option<Self>> {
        open(path, 0, false)
    }

    /// Whether it was the oldest and one too many. The newest ones are deleted once they have been
    /// compressed, and still count.
    fn is_deleted(&self) -> bool {
        self.number > 1 && self.file.metadata().is_ok_and(|facts| facts.nlink() == 0)
    }

    /// Whether `later`, met after this one, is the same: moved since, or compressed.
    fn became(&self, later: &Self) -> bool {
        self.identity == later.identity
            || later
                .packed
                .is_some_and(|origin| Origin::of(&self.file).is_ok_and(|of| of == origin))
    }
}

/// The files that were written after one that is open, oldest first. It is found by its `identity`;
/// a `plain` one may have been compressed since.
pub(super) fn after(path: &Path, identity: Identity, plain: Option<&File>) -> Result<Vec<LogFile>> {
    let mut files = all(path)?;
    // Not earlier: it gets its last time just before it is compressed.
    let origin = plain.and_then(|file| Origin::of(file).ok());
    let place = files.iter().position(|other| {
        other.identity == identity || (origin.is_some() && other.packed == origin)
    });
    // If there is none, it was older than all that are left.
    Ok(files.split_off(place.map_or(0, |place| place + 1)))
}

/// Which file `path` leads to now.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|facts| identity_of(&facts))
}

/// All files of the log at `path`, oldest first.
///
/// Rotations may come meanwhile, but they only move files to higher numbers, and this goes from the
/// lowest to the highest. So it may meet a file twice, and one that is newer before it meets an older
/// one again; but where it meets a file for the last time, all older ones are still ahead, but for
/// those that were the oldest and have been deleted meanwhile.
pub(super) fn all(path: &Path) -> Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = LogFile::current(path)?.into_iter().collect();
    let mut free = 0;
    for number in 1.. {
        if let Some(file) = rotated(path, number)? {
            free = 0;
            files.retain(|earlier| !earlier.became(&file));
            files.push(file);
        } else if free == FREE_IN_A_ROW {
            break;
        } else {
            free += 1;
        }
    }
    files.retain(|file| !file.is_deleted());
    files.reverse();
    Ok(files)
}

/// The file that has the number now. The plain one is there until the compressed one is complete.
fn rotated(path: &Path, number: u32) -> Result<Option<LogFile>> {
    match open(&numbered(path, number, ""), number, false)? {
        Some(file) => Ok(Some(file)),
        None => open(&numbered(path, number, ".gz"), number, true),
    }
}

fn open(path: &Path, number: u32, compressed: bool) -> Result<Option<LogFile>> {
    let failed = |error| Error::io(format!("open the log {}", path.display()), error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    let (identity, length) = (identity_of(&facts), facts.len());
    let packed = if compressed { packed(&file).map_err(failed)? } else { None };
    Ok(Some(LogFile { file, identity, compressed, length, number, packed }))
}

/// What is noted in a compressed file's head.
fn packed(mut file: &File) -> io::Result<Option<Origin>> {
    let head = GzDecoder::new(file);
    let note = head.header().and_then(|header| header.extra());
    let origin = note.and_then(|note| serde_json::from_slice(note).ok());
    file.rewind()?;
    Ok(origin)
}

fn identity_of(facts: &std::fs::Metadata) -> Identity {
    Identity { device: facts.dev(), inode: facts.ino() }
}

fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}{suffix}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Rotates by renames alone, which is as fast as it gets.
    fn rotate(path: &Path, serial: u32) {
        for number in (1..60).rev() {
            let _ = fs::rename(numbered(path, number, ""), numbered(path, number + 1, ""));
        }
        fs::rename(path, numbered(path, 1, "")).unwrap();
        fs::write(path, serial.to_string()).unwrap();
    }

    #[test]
    fn no_file_is_missed_or_met_twice_while_all_move() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        fs::write(&path, "0").unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || (1..1000).for_each(|serial| rotate(&path, serial))
        });
        let mut looks = 0;
        while !writer.is_finished() || looks == 0 {
            let files = all(&path).unwrap();
            // The newest may not have its text yet.
            let rotated = files.iter().rev().skip(1).rev();
            let serials: Vec<u32> = rotated
                .map(|file| io::read_to_string(&file.file).unwrap().parse().unwrap())
                .collect();
            assert!(serials.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{serials:?}");
            looks += 1;
        }
        writer.join().unwrap();
    }
}
