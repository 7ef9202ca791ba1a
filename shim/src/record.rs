//! Keeps `task.json`: what became of the container, on disk, for whoever asks when we are gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tare_proto::record::{ExitRecord, FILE_NAME, TaskRecord};

use crate::clock::rfc3339;
use crate::error::{Context, Result};
use crate::reaper::Exit;

/// The record of one task.
#[derive(Debug)]
pub(crate) struct Record {
    /// `None` where the manager wants no record.
    directory: Option<PathBuf>,
    content: Mutex<TaskRecord>,
}

/// How sure a write must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// Other processes see it.
    Visible,
    /// It survives a power cut.
    Durable,
}

impl Record {
    /// Begins the record: the container has been created, with `pid` as its init.
    pub(crate) fn created(directory: Option<PathBuf>, id: &str, pid: u32) -> Result<Self> {
        let content = TaskRecord { id: id.to_owned(), pid, started_at: None, exit: None };
        let record = Record { directory, content: Mutex::new(content) };
        record.change(Durability::Visible, |_| {})?;
        Ok(record)
    }

    /// The container's init has been let go.
    pub(crate) fn started(&self, at: SystemTime) -> Result<()> {
        self.change(Durability::Visible, |content| content.started_at = Some(rfc3339(at)))
    }

    /// The container's init has ended. When this returns, a power cut won't change it.
    pub(crate) fn exited(&self, exit: Exit, oom_killed: bool, dropped_lines: u64) -> Result<()> {
        let exited_at = rfc3339(exit.at);
        let exit = ExitRecord { status: exit.status, exited_at, oom_killed, dropped_lines };
        self.change(Durability::Durable, |content| content.exit = Some(exit))
    }

    fn change(&self, durability: Durability, change: impl FnOnce(&mut TaskRecord)) -> Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut content);
        let Some(directory) = &self.directory else { return Ok(()) };
        let what = || format!("write {}/{FILE_NAME}", directory.display());
        let bytes = serde_json::to_vec(&*content).context(what)?;
        replace(directory, &bytes, durability).context(what)
    }
}

fn replace(directory: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let temporary = directory.join(format!("{FILE_NAME}.tmp"));
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    if durability == Durability::Durable {
        file.sync_all()?;
    }
    fs::rename(&temporary, directory.join(FILE_NAME))?;
    if durability == Durability::Durable {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// The record that a shim left in `directory`, if it left any.
pub(crate) fn read(directory: &Path) -> Option<TaskRecord> {
    serde_json::from_slice(&fs::read(directory.join(FILE_NAME)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn tells_the_whole_life() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let record = Record::created(Some(path.to_owned()), "web", 42).unwrap();
        assert_eq!(read(path).unwrap().started_at, None);
        record.started(UNIX_EPOCH).unwrap();
        let exit = Exit { status: 137, at: UNIX_EPOCH + Duration::from_secs(1) };
        record.exited(exit, true, 3).unwrap();
        let read = read(path).unwrap();
        assert_eq!((read.id.as_str(), read.pid), ("web", 42));
        assert_eq!(read.started_at.as_deref(), Some("1970-01-01T00:00:00Z"));
        let exit = read.exit.unwrap();
        assert_eq!((exit.status, exit.oom_killed, exit.dropped_lines), (137, true, 3));
        assert_eq!(exit.exited_at, "1970-01-01T00:00:01Z");
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    }
}
