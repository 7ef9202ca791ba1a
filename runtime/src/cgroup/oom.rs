//! Hearing of it when the kernel kills a container's process because its memory is used up.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use super::file;
use crate::error::{Context, Error, Result};

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A process was killed, or, where the kernel may not kill, stopped.
    OutOfMemory,
    /// The container has no processes any more.
    Gone,
    /// The time was over.
    Nothing,
}

/// A watch over one container's memory cgroup.
#[derive(Debug)]
pub(crate) struct Watch {
    directory: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// On v1 the kernel adds to a counter that it has been given.
    V1 { counter: OwnedFd },
    /// On v2 it marks files as changed.
    V2 { memory: File, cgroup: File, kills: u64 },
}

impl Watch {
    /// Watches the v1 memory cgroup `directory`.
    pub(super) fn v1(directory: &Path) -> Result<Watch> {
        let name = "memory.oom_control";
        let control = File::open(directory.join(name)).context(|| format!("open {name}"))?;
        let counter = eventfd(0, EventfdFlags::CLOEXEC).context(|| "eventfd")?;
        let request = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        file::write(directory, "cgroup.event_control", &request)?;
        Ok(Watch { directory: directory.to_owned(), source: Source::V1 { counter } })
    }

    /// Watches the v2 cgroup `directory`.
    pub(super) fn v2(directory: &Path) -> Result<Watch> {
        let open = |name: &str| File::open(directory.join(name)).context(|| format!("open {name}"));
        let (memory, cgroup) = (open("memory.events")?, open("cgroup.events")?);
        let kills = value(&memory, "oom_kill")?.unwrap_or(0);
        let source = Source::V2 { memory, cgroup, kills };
        Ok(Watch { directory: directory.to_owned(), source })
    }

    /// Waits until something happens, at most for `limit`.
    ///
    /// # Errors
    /// A file of the cgroup cannot be read for another reason than that it is gone.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Heard> {
        match &mut self.source {
            Source::V1 { counter } => {
                let mut files = [PollFd::new(&*counter, PollFlags::IN)];
                if !file::wait_for_change(&mut files, limit)? {
                    return Ok(Heard::Nothing);
                }
                rustix::io::read(counter.as_fd(), &mut [0; 8]).context(|| "read the eventfd")?;
                // The kernel counts up for the last time when the cgroup is removed.
                match self.directory.exists() {
                    true => Ok(Heard::OutOfMemory),
                    false => Ok(Heard::Gone),
                }
            }
            Source::V2 { memory, cgroup, kills } => {
                let deadline = Instant::now() + limit;
                loop {
                    let Some(now) = value(memory, "oom_kill")? else { return Ok(Heard::Gone) };
                    if now > *kills {
                        *kills = now;
                        return Ok(Heard::OutOfMemory);
                    }
                    if value(cgroup, "populated")?.is_none_or(|populated| populated == 0) {
                        return Ok(Heard::Gone);
                    }
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Heard::Nothing);
                    }
                    let mut files = [
                        PollFd::new(&*memory, PollFlags::PRI),
                        PollFd::new(&*cgroup, PollFlags::PRI),
                    ];
                    file::wait_for_change(&mut files, left)?;
                }
            }
        }
    }
}

/// The number behind `key` in an open file; nothing if the cgroup is gone.
fn value(file: &File, key: &str) -> Result<Option<u64>> {
    match file::read_open(file.as_fd()) {
        Ok(text) => {
            let found = file::pairs(&text).find(|(found, _)| *found == key);
            Ok(Some(found.map_or(0, |(_, value)| value)))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(Error::system(format!("failed to read {key}"), error)),
    }
}
