//! The process of one hook: it is fed its state, listened to, and ended if it takes too long.
//!
//! All at once, for it may read nothing, or write more than a pipe holds.

use crate::error::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

/// How much of what a hook writes is kept, in bytes.
const KEPT: usize = 4096;

/// How often a process is looked at that cannot be waited for together with its pipes.
const LOOK: Duration = Duration::from_millis(10);

/// How a hook ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, having written these.
    ByItself { status: ExitStatus, stdout: String, stderr: String },
    /// It was killed when its time was over.
    OutOfTime,
}

/// Feeds `state` to a hook that was started with three pipes, and waits for its end.
pub(super) fn attend(child: &mut Child, state: &str, limit: Option<Duration>) -> Result<Ended> {
    let mut feed = Feed { pipe: child.stdin.take(), left: state.as_bytes() };
    let mut stdout = Output::new(child.stdout.take().map(OwnedFd::from))?;
    let mut stderr = Output::new(child.stderr.take().map(OwnedFd::from))?;
    if let Some(pipe) = &feed.pipe {
        rustix::io::ioctl_fionbio(pipe, true).context(|| "feed the hook")?;
    }
    // The filter of a container may forbid this one inside.
    let pidfd = Pid::from_raw(child.id().cast_signed())
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // A limit beyond what the clock can count is none.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        wait(&feed, [&stdout, &stderr], pidfd.as_ref(), deadline)?;
        feed.step();
        stdout.step();
        stderr.step();
        if let Some(status) = child.try_wait().context(|| "wait for the hook")? {
            // Whoever inherited a pipe may keep it open: what is there now is all.
            stdout.step();
            stderr.step();
            return Ok(Ended::ByItself { status, stdout: stdout.text(), stderr: stderr.text() });
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(Ended::OutOfTime);
        }
    }
}

/// Waits until there is something to do.
fn wait(
    feed: &Feed<'_>,
    outputs: [&Output; 2],
    pidfd: Option<&OwnedFd>,
    deadline: Option<Instant>,
) -> Result<()> {
    let mut list = Vec::with_capacity(4);
    list.extend(feed.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
    for output in outputs {
        list.extend(output.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    }
    list.extend(pidfd.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let left = match pidfd {
        Some(_) => left,
        None => Some(left.unwrap_or(LOOK).min(LOOK)),
    };
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(&mut list, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).context(|| "watch the hook"),
    }
}

/// What is still to be written to the hook.
struct Feed<'a> {
    pipe: Option<ChildStdin>,
    left: &'a [u8],
}

impl Feed<'_> {
    fn step(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        match rustix::io::write(pipe, self.left) {
            Ok(written) => self.left = self.left.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return,
            // A hook that does not read its state is not at fault.
            Err(_) => self.left = &[],
        }
        if self.left.is_empty() {
            self.pipe = None;
        }
    }
}

/// What the hook writes, of which the beginning is kept.
struct Output {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Output {
    fn new(pipe: Option<OwnedFd>) -> Result<Output> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true).context(|| "listen to the hook")?;
        }
        Ok(Output { pipe, kept: Vec::new() })
    }

    /// Takes what is there; it never is so much that the hook could not be looked after meanwhile.
    fn step(&mut self) {
        let mut chunk = [0; 16 * KEPT];
        let Some(pipe) = &self.pipe else { return };
        match rustix::io::read(pipe.as_fd(), &mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(length) => {
                let room = KEPT.saturating_sub(self.kept.len());
                self.kept.extend(chunk.iter().take(length.min(room)));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.pipe = None,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim_end().to_owned()
    }
}
