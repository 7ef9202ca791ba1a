//! Keeps `task.json`: what became of the container, on disk, for whoever asks when we are gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tare_proto::record::{self, ExitRecord, FILE_NAME, HealthRecord, ProbeRecord, TaskRecord};

use crate::clock::rfc3339;
use crate::error::{Context, Result};
use crate::task::{Ending, Health, HealthStatus, Phase, Probe, Situation};

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
    /// Begins the record of a container that has been created.
    pub(crate) fn begin(
        directory: Option<PathBuf>,
        id: &str,
        situation: &Situation,
    ) -> Result<Self> {
        let content = TaskRecord { id: id.to_owned(), ..TaskRecord::default() };
        let record = Record { directory, content: Mutex::new(content) };
        record.write(situation)?;
        Ok(record)
    }

    /// Writes how the container is. When this returns after an end, a power cut won't change it.
    pub(crate) fn write(&self, situation: &Situation) -> Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        tell(&mut content, situation);
        let Some(directory) = &self.directory else { return Ok(()) };
        let durability = match situation.phase {
            Phase::Created { .. } | Phase::Running { .. } => Durability::Visible,
            Phase::Waiting { .. } | Phase::Ended { .. } => Durability::Durable,
        };
        let what = || format!("write {}/{FILE_NAME}", directory.display());
        let bytes = serde_json::to_vec(&*content).context(what)?;
        replace(directory, &bytes, durability).context(what)
    }
}

/// Has `content` tell of `situation`. A run that has ended keeps its pid.
fn tell(content: &mut TaskRecord, situation: &Situation) {
    let (pid, started_at, restart_at) = match &situation.phase {
        Phase::Created { pid } => (*pid, None, None),
        Phase::Running { pid, started_at } => (*pid, Some(*started_at), None),
        Phase::Waiting { ending, restart_at } => {
            (content.pid, ending.started_at, Some(*restart_at))
        }
        Phase::Ended { ending } => (content.pid, ending.started_at, None),
    };
    content.pid = pid;
    content.started_at = started_at.map(rfc3339);
    content.restart_at = restart_at.map(rfc3339);
    content.exit = situation.phase.ending().map(exit_record);
    content.last_exit = situation.last.as_ref().map(exit_record);
    content.restarts = situation.restarts;
    content.health = situation.health.as_deref().map(health_record);
}

fn exit_record(ending: &Ending) -> ExitRecord {
    ExitRecord {
        status: ending.exit.status,
        exited_at: rfc3339(ending.exit.at),
        oom_killed: ending.oom_killed,
        dropped_lines: ending.dropped_lines,
        error: ending.error.clone().unwrap_or_default(),
    }
}

fn health_record(health: &Health) -> HealthRecord {
    let probe = |probe: &Probe| ProbeRecord {
        started_at: rfc3339(probe.started_at),
        ended_at: rfc3339(probe.ended_at),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    };
    HealthRecord {
        status: match health.status {
            HealthStatus::Starting => record::HealthStatus::Starting,
            HealthStatus::Healthy => record::HealthStatus::Healthy,
            HealthStatus::Unhealthy => record::HealthStatus::Unhealthy,
        },
        failing_streak: health.failing_streak,
        probes: health.probes.iter().map(probe).collect(),
    }
}

/// Puts `bytes` in the place of the record. They go into the space that was set aside for them, so
/// that an end can be recorded on a disk that has become full meanwhile.
fn replace(directory: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let spare = spare(directory);
    let mut file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&spare)?;
    file.write_all(bytes)?;
    // What the file has beyond them is overwritten too: JSON may end with white space.
    let set_aside = usize::try_from(file.metadata()?.len()).unwrap_or(SET_ASIDE);
    file.write_all(&vec![b' '; set_aside.saturating_sub(bytes.len())])?;
    if durability == Durability::Durable {
        file.sync_all()?;
    }
    put_in_place(&spare, &directory.join(FILE_NAME))?;
    if durability == Durability::Durable {
        File::open(directory)?.sync_all()?;
    }
    // The next time it will have to do without, if there is no room now.
    let _ = set_aside_space(&spare, bytes.len());
    Ok(())
}

/// Puts the file `new` in the place of `record`, which becomes the spare one if it is there: a file
/// system may search long for a new file where others have been deleted lately.
fn put_in_place(new: &Path, record: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, record, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // There is none yet, or the file system can't do that.
        Err(_) => fs::rename(new, record),
    }
}

/// Bytes that a record is certain to fit into, unless a failure has much to say: so many at least,
const SET_ASIDE: usize = 4096;
/// and so many more than the last one had.
const MORE: usize = 1024;

/// The file that becomes the record at the next change.
fn spare(directory: &Path) -> PathBuf {
    directory.join(format!("{FILE_NAME}.tmp"))
}

/// Gives the spare file the space that the next record may need, if it doesn't have it.
fn set_aside_space(spare: &Path, last: usize) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(spare)?;
    let has = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all(&vec![b' '; SET_ASIDE.max(last + MORE).saturating_sub(has)])
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

    fn situation(phase: Phase, last: Option<Ending>, restarts: u32) -> Situation {
        Situation { phase, restarts, last, health: None }
    }

    #[test]
    fn the_same_two_files_are_used_again_and_again() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let record = Record::begin(
            Some(path.to_owned()),
            "web",
            &situation(Phase::Created { pid: 1 }, None, 0),
        );
        let record = record.unwrap();
        let files = || {
            let files = [path.join(FILE_NAME), spare(path)].map(|file| fs::metadata(file).unwrap());
            assert!(files[1].len() >= SET_ASIDE as u64, "there is room for the next one");
            let mut numbers = files.map(|file| file.ino());
            numbers.sort_unstable();
            numbers
        };
        let first = files();
        for pid in 2..4 {
            record.write(&situation(Phase::Created { pid }, None, 0)).unwrap();
            assert_eq!((files(), read(path).unwrap().pid), (first, pid));
        }
    }

    #[test]
    fn tells_the_whole_life() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let created = situation(Phase::Created { pid: 42 }, None, 2);
        let record = Record::begin(Some(path.to_owned()), "web", &created).unwrap();
        assert_eq!(read(path).unwrap().started_at, None);
        let running = Phase::Running { pid: 42, started_at: UNIX_EPOCH };
        record.write(&situation(running, None, 2)).unwrap();
        assert_eq!(read(path).unwrap().started_at.as_deref(), Some("1970-01-01T00:00:00Z"));
        record.write(&situation(Phase::Ended { ending: ending(137, 1) }, None, 2)).unwrap();
        let read = read(path).unwrap();
        assert_eq!((read.id.as_str(), read.pid, read.restarts), ("web", 42, 2));
        assert_eq!(read.started_at.as_deref(), Some("1970-01-01T00:00:00Z"));
        let exit = read.exit.unwrap();
        assert_eq!((exit.status, exit.oom_killed, exit.dropped_lines), (137, true, 3));
        assert_eq!(exit.exited_at, "1970-01-01T00:00:01Z");
        assert_eq!((read.last_exit, read.restart_at, read.health), (None, None, None));
        // The record, and the space for the next one.
        assert_eq!(fs::read_dir(path).unwrap().count(), 2);
    }

    #[test]
    fn an_end_needs_no_more_space() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let size = |file: &Path| fs::metadata(file).unwrap().len();
        let ended = |ending| situation(Phase::Ended { ending }, None, 2);
        let created = situation(Phase::Created { pid: 42 }, None, 2);
        let record = Record::begin(Some(path.to_owned()), "web", &created).unwrap();
        assert_eq!(size(&spare(path)), SET_ASIDE as u64);
        record.write(&ended(ending(137, 1))).unwrap();
        assert_eq!(size(&path.join(FILE_NAME)), SET_ASIDE as u64);
        // One with much to say takes more, and the next is told apart from the rest of that.
        let error = Some("e".repeat(2 * SET_ASIDE));
        record.write(&ended(Ending { error, ..ending(128, 2) })).unwrap();
        assert!(read(path).unwrap().exit.unwrap().error.len() > SET_ASIDE);
        assert!(size(&spare(path)) > 2 * SET_ASIDE as u64);
        record.write(&ended(ending(3, 3))).unwrap();
        assert_eq!(read(path).unwrap().exit.unwrap().status, 3);
    }

    #[test]
    fn tells_what_a_restart_needs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let created = situation(Phase::Created { pid: 42 }, None, 0);
        let record = Record::begin(Some(path.to_owned()), "web", &created).unwrap();
        let restart_at = UNIX_EPOCH + Duration::from_secs(2);
        let waiting = Phase::Waiting { ending: ending(1, 1), restart_at };
        record.write(&situation(waiting, None, 1)).unwrap();
        let waiting = read(path).unwrap();
        assert_eq!(waiting.restart_at.as_deref(), Some("1970-01-01T00:00:02Z"));
        assert_eq!((waiting.exit.unwrap().status, waiting.pid, waiting.restarts), (1, 42, 1));
        let running = Phase::Running { pid: 43, started_at: restart_at };
        let probe = Probe {
            started_at: UNIX_EPOCH,
            ended_at: UNIX_EPOCH,
            exit_code: -1,
            output: "no".into(),
        };
        let (status, probes) = (HealthStatus::Healthy, [probe].into());
        let health = Some(Health { status, failing_streak: 1, probes }.into());
        let running = Situation { health, ..situation(running, Some(ending(1, 1)), 1) };
        record.write(&running).unwrap();
        let running = read(path).unwrap();
        assert_eq!((running.pid, running.exit, running.restart_at), (43, None, None));
        assert_eq!(running.last_exit.unwrap().status, 1);
        let health = running.health.unwrap();
        assert_eq!((health.status, health.failing_streak), (record::HealthStatus::Healthy, 1));
        assert_eq!((health.probes[0].exit_code, health.probes[0].output.as_str()), (-1, "no"));
    }
}
