//! What a container wrote that its server had no time to log, because it died.
//!
//! The container's own end of its output is open for reading too, so that a pipe and all that is in
//! it outlive the server. Whoever cleans up finds the pipe among the descriptors of the container's
//! processes, by the note that the server left; opens it before they are killed, and then logs what
//! it holds.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tare_proto::tare::shim::v1::Log as LogConfig;
use tokio::runtime::Runtime;

use crate::error::{Context, Result};
use crate::io::hub::Channel;
use crate::io::log::{Log, LogStream};

const FILE_NAME: &str = "pipes.json";
/// Among how many of the container's processes its pipes are looked for. Its init has them, mostly.
const PROCESSES: usize = 64;
/// How long killed processes may take to let go of their pipes.
const PATIENCE: Duration = Duration::from_secs(2);
/// As much as a pipe holds by default, and as much as one can hold.
const CHUNK: usize = 64 << 10;
const ENOUGH: usize = 1 << 20;

/// A pipe, as long as anybody has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PipeId {
    device: u64,
    inode: u64,
}

impl PipeId {
    /// Of a descriptor, if it is a pipe.
    pub(crate) fn of(metadata: &fs::Metadata) -> Option<Self> {
        let is_pipe = metadata.file_type().is_fifo();
        is_pipe.then(|| Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The pipes of a run's output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputPipes {
    /// Standard output's.
    pub(crate) stdout: Option<PipeId>,
    /// Standard error's.
    pub(crate) stderr: Option<PipeId>,
}

impl OutputPipes {
    /// Leaves word of them, before there is a process that has them.
    pub(crate) fn note(&self, bundle: &Path) -> Result<()> {
        let path = bundle.join(FILE_NAME);
        let what = || format!("write {}", path.display());
        let bytes = serde_json::to_vec(self).context(what)?;
        fs::write(&path, bytes).context(what)
    }

    /// There is no such process any more.
    pub(crate) fn clear(bundle: &Path) {
        let _ = fs::remove_file(bundle.join(FILE_NAME));
    }

    fn read(bundle: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(bundle.join(FILE_NAME)).ok()?).ok()
    }
}

/// Pipes that hold what isn't logged yet.
pub(crate) struct Salvage {
    runtime: Runtime,
    pipes: Vec<(File, LogStream)>,
}

impl Salvage {
    /// Opens the output of the container of `bundle`, which `processes` have, and its log; `None`
    /// if there is nothing to be saved.
    pub(crate) fn begin(
        bundle: &Path,
        log: &LogConfig,
        processes: impl Iterator<Item = u32>,
    ) -> Result<Option<Self>> {
        let Some(noted) = OutputPipes::read(bundle) else { return Ok(None) };
        let pipes = find(noted, processes);
        if pipes.is_empty() {
            return Ok(None);
        }
        let Some(log) = Log::open(log)? else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context(|| "log what a container wrote last".to_owned())?;
        let pipes = pipes.into_iter().map(|(channel, pipe)| (pipe, log.stream(channel))).collect();
        Ok(Some(Self { runtime, pipes }))
    }

    /// Logs what the pipes hold by now. The less there is in our hands when we are killed the
    /// better, and as long as the container lives, so do its pipes.
    pub(crate) fn save(&mut self) {
        self.log(Duration::ZERO);
    }

    /// Logs the rest, now that the container's processes have been killed.
    pub(crate) fn finish(mut self) {
        self.log(PATIENCE);
        for (_, mut stream) in self.pipes {
            self.runtime.block_on(stream.finish());
        }
    }

    fn log(&mut self, patience: Duration) {
        for (pipe, stream) in &mut self.pipes {
            let output = read_for(pipe, patience);
            if !output.is_empty() {
                self.runtime.block_on(stream.append(&output));
            }
        }
    }
}

/// Finds the pipes among the descriptors of these processes, and opens them.
fn find(noted: OutputPipes, processes: impl Iterator<Item = u32>) -> Vec<(Channel, File)> {
    let mut wanted = vec![(Channel::Stdout, noted.stdout), (Channel::Stderr, noted.stderr)];
    wanted.retain(|(_, pipe)| pipe.is_some());
    let mut pipes = Vec::new();
    for process in processes.take(PROCESSES) {
        let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(found) = fs::metadata(&path).ok().as_ref().and_then(PipeId::of) else {
                continue;
            };
            let at = wanted.iter().position(|(_, pipe)| *pipe == Some(found));
            if let Some(at) = at
                && let Some(file) = open(&path, found)
            {
                pipes.push((wanted.remove(at).0, file));
            }
        }
        if wanted.is_empty() {
            break;
        }
    }
    pipes
}

/// Opens a process's descriptor anew, if it is this pipe still.
fn open(path: &Path, pipe: PipeId) -> Option<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let opened = file.metadata().ok().as_ref().and_then(PipeId::of);
    (opened == Some(pipe)).then_some(file)
}

/// What is in a pipe: all, if it has an end within `patience`, or else as much as there is by then.
fn read_for(pipe: &mut File, patience: Duration) -> Vec<u8> {
    let mut bytes = Vec::new();
    let deadline = Instant::now() + patience;
    let mut chunk = vec![0; CHUNK];
    loop {
        match pipe.read(&mut chunk) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if !is_ready_before(pipe, deadline) {
                    return bytes;
                }
            }
            Err(_) => return bytes,
        }
        // Somebody who writes on and on is not waited for.
        if bytes.len() >= ENOUGH && Instant::now() > deadline {
            return bytes;
        }
    }
}

fn is_ready_before(pipe: &File, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    let left = Timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    matches!(poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&left)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::{Command, Stdio};

    /// As the shim makes them: its own end, and the container's, which is open for reading too.
    fn pipe() -> (OwnedFd, OwnedFd) {
        crate::io::output_pipe().unwrap()
    }

    fn id_of(end: &OwnedFd) -> PipeId {
        let file = File::from(end.as_fd().try_clone_to_owned().unwrap());
        PipeId::of(&file.metadata().unwrap()).unwrap()
    }

    #[test]
    fn what_was_in_a_pipe_is_logged() {
        let bundle = tempfile::tempdir().unwrap();
        let path = bundle.path().join("log");
        let config = LogConfig {
            driver: "json-file".into(),
            path: path.display().to_string(),
            ..LogConfig::default()
        };
        let (ours, theirs) = pipe();
        OutputPipes { stdout: Some(id_of(&ours)), stderr: None }.note(bundle.path()).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "echo one; echo two; exec sleep 1000"])
            .stdout(Stdio::from(theirs))
            .spawn()
            .unwrap();
        // Whoever read it dies, and the process writes on.
        drop(ours);
        let pid = child.id();
        let begun = Instant::now();
        let comm = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        while comm().trim() != "sleep" && begun.elapsed() < Duration::from_secs(30) {
            std::thread::yield_now();
        }
        let strangers = [std::process::id()];
        let begin = |processes: [u32; 1]| {
            Salvage::begin(bundle.path(), &config, processes.into_iter()).unwrap()
        };
        assert!(begin(strangers).is_none());
        let mut salvage = begin([pid]).unwrap();
        salvage.save();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        child.kill().unwrap();
        child.wait().unwrap();
        salvage.finish();
        let log = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = log.lines().map(|line| line.get(..13).unwrap()).collect();
        assert_eq!(lines, [r#"{"log":"one\n"#, r#"{"log":"two\n"#]);
    }
}
