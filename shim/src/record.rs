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
use crate::task::Ending;

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
    /// Begins the record: the container has been created, with `pid` as its init, after so many
    /// restarts by others.
    pub(crate) fn created(
        directory: Option<PathBuf>,
        id: &str,
        pid: u32,
        restarts: u32,
    ) -> Result<Self> {
        let content = TaskRecord { id: id.to_owned(), pid, restarts, ..TaskRecord::default() };
        let record = Record { directory, content: Mutex::new(content) };
        record.change(Durability::Visible, |_| {})?;
        Ok(record)
    }

    /// The container's init has been let go for the first time.
    pub(crate) fn started(&self, at: SystemTime) -> Result<()> {
        self.change(Durability::Visible, |content| content.started_at = Some(rfc3339(at)))
    }

    /// A run has ended, and there will be another one at `restart_at`, or none. When this returns,
    /// a power cut won't change it.
    pub(crate) fn ended(
        &self,
        ending: &Ending,
        restarts: u32,
        restart_at: Option<SystemTime>,
    ) -> Result<()> {
        let exit = ExitRecord {
            status: ending.exit.status,
            exited_at: rfc3339(ending.exit.at),
            oom_killed: ending.oom_killed,
            dropped_lines: ending.dropped_lines,
            error: ending.error.clone().unwrap_or_default(),
        };
        self.change(Durability::Durable, |content| {
            retire_exit(content);
            content.exit = Some(exit);
            content.started_at = ending.started_at.map(rfc3339);
            content.restarts = restarts;
            content.restart_at = restart_at.map(rfc3339);
        })
    }

    /// The restart that was waited for won't take place. When this returns, a power cut won't
    /// change it.
    pub(crate) fn called_off(&self) -> Result<()> {
        self.change(Durability::Durable, |content| content.restart_at = None)
    }

    /// The container's next init, `pid`, is about to be let go.
    pub(crate) fn restarted(&self, pid: u32, at: SystemTime) -> Result<()> {
        self.change(Durability::Visible, |content| {
            retire_exit(content);
            content.pid = pid;
            content.started_at = Some(rfc3339(at));
            content.restart_at = None;
        })
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

/// An exit makes room for what comes after it.
fn retire_exit(content: &mut TaskRecord) {
    if let Some(exit) = content.exit.take() {
        content.last_exit = Some(exit);
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
    use crate::reaper::Exit;
    use std::time::{Duration, UNIX_EPOCH};

    fn ending(status: u32, second: u64) -> Ending {
        Ending {
            exit: Exit { status, at: UNIX_EPOCH + Duration::from_secs(second) },
            started_at: Some(UNIX_EPOCH),
            oom_killed: true,
            dropped_lines: 3,
            error: None,
        }
    }

    #[test]
    fn tells_the_whole_life() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let record = Record::created(Some(path.to_owned()), "web", 42, 2).unwrap();
        assert_eq!(read(path).unwrap().started_at, None);
        record.started(UNIX_EPOCH).unwrap();
        record.ended(&ending(137, 1), 2, None).unwrap();
        let read = read(path).unwrap();
        assert_eq!((read.id.as_str(), read.pid, read.restarts), ("web", 42, 2));
        assert_eq!(read.started_at.as_deref(), Some("1970-01-01T00:00:00Z"));
        let exit = read.exit.unwrap();
        assert_eq!((exit.status, exit.oom_killed, exit.dropped_lines), (137, true, 3));
        assert_eq!(exit.exited_at, "1970-01-01T00:00:01Z");
        assert_eq!((read.last_exit, read.restart_at), (None, None));
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    }

    #[test]
    fn the_last_exit_is_kept_while_it_runs_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let record = Record::created(Some(path.to_owned()), "web", 42, 0).unwrap();
        let next = UNIX_EPOCH + Duration::from_secs(2);
        record.ended(&ending(1, 1), 1, Some(next)).unwrap();
        let waiting = read(path).unwrap();
        assert_eq!(waiting.restart_at.as_deref(), Some("1970-01-01T00:00:02Z"));
        assert_eq!((waiting.exit.unwrap().status, waiting.restarts), (1, 1));
        record.restarted(43, next).unwrap();
        let running = read(path).unwrap();
        assert_eq!((running.pid, running.exit, running.restart_at), (43, None, None));
        assert_eq!(running.last_exit.unwrap().status, 1);
        record.ended(&ending(2, 3), 2, Some(next)).unwrap();
        record.called_off().unwrap();
        let ended = read(path).unwrap();
        assert_eq!((ended.exit.unwrap().status, ended.restart_at), (2, None));
        assert_eq!(ended.last_exit.unwrap().status, 1);
    }
}
