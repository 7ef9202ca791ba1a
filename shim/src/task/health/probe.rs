//! One probe: the command is run in the container, and given so much time.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::time::timeout;

use super::capture::Capture;
use super::check::HealthCheck;
use super::status::Probe;
use super::words;
use crate::error::{Context, Error, Result};
use crate::io::ChildStdio;
use crate::linux;
use crate::reaper::{Awaited, Exit};
use crate::task::blueprint::Blueprint;

/// How long the runtime may take to run the command. That time isn't the command's.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a command that was killed is waited for, so that there aren't ever more of them.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What came of a probe.
pub(super) enum Outcome {
    /// It ended.
    Ended { exit: Exit, output: String },
    /// It took too long.
    TimedOut { limit: Duration, output: String },
    /// It could not be run.
    NotRun(Error),
}

/// Runs the command. If this is dropped, the command is killed.
pub(super) async fn run(blueprint: &Blueprint, check: &HealthCheck) -> Outcome {
    match run_and_wait(blueprint, check).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::NotRun(error),
    }
}

async fn run_and_wait(blueprint: &Blueprint, check: &HealthCheck) -> Result<Outcome> {
    let (mut process, mut capture) = start(blueprint, check).await?;
    let limit = check.timing.timeout;
    let ended = async {
        tokio::select! {
            ended = process.ended() => ended,
            never = capture.read_on() => match never {},
        }
    };
    match timeout(limit, ended).await {
        Ok(exit) => Ok(Outcome::Ended { exit: exit?, output: capture.finish() }),
        Err(_) => {
            process.kill();
            let _ = timeout(KILL_PATIENCE, process.ended()).await;
            Ok(Outcome::TimedOut { limit, output: capture.finish() })
        }
    }
}

/// Has the runtime run the command, with one pipe for both of its streams.
async fn start(blueprint: &Blueprint, check: &HealthCheck) -> Result<(Awaited, Capture)> {
    let launch = blueprint.launch();
    let (pipe, stdio) = streams().context(|| "make a pipe for a health check".to_owned())?;
    let executed = blueprint.runtime.exec(&launch, &check.process, stdio, None);
    let pid = timeout(START_PATIENCE, executed).await.unwrap_or_else(|_| {
        let id = &blueprint.id;
        Err(Error::unknown(format!("timed out starting health check for container {id}")))
    })?;
    let process = launch.adopt_guarded(pid)?;
    let pipe = linux::watch(pipe, Interest::READABLE)
        .context(|| "watch the pipe of a health check".to_owned())?;
    Ok((process, Capture::new(pipe)))
}

fn streams() -> std::io::Result<(OwnedFd, ChildStdio)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let stdout = Stdio::from(theirs.try_clone()?);
    Ok((ours, ChildStdio { stdin: Stdio::null(), stdout, stderr: Stdio::from(theirs) }))
}

impl Outcome {
    /// As it is remembered.
    pub(super) fn into_probe(self, started_at: SystemTime, ended_at: SystemTime) -> Probe {
        let (exit_code, output) = match self {
            Outcome::Ended { exit, output } => {
                (i32::try_from(exit.status).unwrap_or(i32::MAX), output)
            }
            Outcome::TimedOut { limit, output } => {
                let limit = words::duration(limit);
                let separator = if output.is_empty() { "" } else { ": " };
                (-1, format!("Health check exceeded timeout ({limit}){separator}{output}"))
            }
            Outcome::NotRun(error) => (-1, error.to_string()),
        };
        Probe { started_at, ended_at, exit_code, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_takes_too_long_says_so_as_dockers_do() {
        let (now, limit) = (SystemTime::UNIX_EPOCH, Duration::from_millis(1500));
        let words = |output: &str| {
            let outcome = Outcome::TimedOut { limit, output: output.to_owned() };
            outcome.into_probe(now, now).output
        };
        assert_eq!(words(""), "Health check exceeded timeout (1.5s)");
        assert_eq!(words("half way"), "Health check exceeded timeout (1.5s): half way");
    }
}
