//! What this process takes for itself before it works: its directories, its id file, and as many
//! open files as it may have.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Error;

/// The roots are closed to everyone but root and root's group: what is below them is made by
/// images and containers, and may be a program that runs as root.
const ROOT_MODE: u32 = 0o710;
/// How long a daemon that was killed may take to go, and how often that is looked for.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the directory, or closes the one that is there.
pub(crate) fn root_directory(path: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(ROOT_MODE)
        .create(path)
        .map_err(|error| Error::system(format!("make {}", path.display()), error))?;
    fs::set_permissions(path, Permissions::from_mode(ROOT_MODE))
        .map_err(|error| Error::system(format!("set the mode of {}", path.display()), error))
}

/// The file with this process's id. It is locked as long as this lives, and removed at its end: a
/// file that is there but not locked was left by a process that was killed.
pub(crate) struct Pidfile {
    path: std::path::PathBuf,
    _locked: File,
}

impl Pidfile {
    /// Writes it.
    ///
    /// # Errors
    /// [`Error::Taken`] when another daemon that runs has it.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::system(format!("write {}", path.display()), error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let Some(mut file) = lock_soon(path).map_err(failed)? else {
            let pid = fs::read_to_string(path).unwrap_or_default();
            return Err(Error::Taken(format!(
                "another tared runs with this pid file: process {} has {}; stop it, or give \
                 this one its own --pidfile, --data-root and --exec-root",
                pid.trim(),
                path.display()
            )));
        };
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), _locked: file })
    }
}

/// Opens and locks the file; `None` if another process keeps it. One that was just killed, or that
/// ends, lets go soon.
fn lock_soon(path: &Path) -> io::Result<Option<File>> {
    let begun = Instant::now();
    loop {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Who had it may have removed it, after we opened it.
        if locked && fs::metadata(path).is_ok_and(|now| is_same(&now, &file)) {
            return Ok(Some(file));
        }
        if begun.elapsed() > PATIENCE {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_same(one: &fs::Metadata, other: &File) -> bool {
    other.metadata().is_ok_and(|other| (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Nobody depends on its removal.
        let _ = fs::remove_file(&self.path);
    }
}

/// Lets this process have as many open files as it may: each connection is one.
pub(crate) fn all_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the number of open files from {limit:?}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_had_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/tared.pid");
        let first = Pidfile::claim(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let error = Pidfile::claim(&path).err().unwrap().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        let going = std::thread::spawn(move || {
            std::thread::sleep(PAUSE * 3);
            drop(first);
        });
        let next = Pidfile::claim(&path).unwrap();
        going.join().unwrap();
        assert!(path.exists(), "the next one has a file of its own");
        drop(next);
        assert!(!path.exists());
        fs::write(&path, "12345\n").unwrap();
        assert!(Pidfile::claim(&path).is_ok(), "a file that was left over is taken");
    }

    #[test]
    fn a_root_is_closed_even_if_it_was_open() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("a/root");
        fs::create_dir_all(&root).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        root_directory(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, ROOT_MODE);
    }
}
