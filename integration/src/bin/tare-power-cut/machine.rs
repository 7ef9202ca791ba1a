//! The guest, as the host has it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::api::Wrong;

/// A guest that runs.
pub(crate) struct Machine {
    run: Child,
    pidfile: PathBuf,
    lines: Receiver<String>,
}

/// Why there are no more lines.
pub(crate) enum End {
    /// The time is up; the guest goes on.
    Time,
    /// The guest has ended.
    Guest,
}

impl Machine {
    /// Boots one with the disk that is served on `socket`, for this command.
    pub(crate) fn boot(state: &Path, socket: &Path, command: &[String]) -> std::io::Result<Self> {
        let run = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/run");
        let pidfile = state.join("qemu.pid");
        let _ = std::fs::remove_file(&pidfile);
        let mut run = Command::new(run)
            .args(command)
            .env("GUEST_DISK", format!("nbd:unix:{}", socket.display()))
            .env("GUEST_PIDFILE", &pidfile)
            .env("GUEST_MEMORY", "2G")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (send, lines) = channel();
        let output = run.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { run, pidfile, lines })
    }

    /// The next line that the guest says.
    pub(crate) fn line(&self, until: Instant) -> Result<String, End> {
        let left = until.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => End::Time,
            RecvTimeoutError::Disconnected => End::Guest,
        })
    }

    /// Cuts its power; gives the lines that were on their way.
    pub(crate) fn cut(&mut self) -> Result<Vec<String>, Wrong> {
        // Until qemu has written its number there is nothing to cut.
        let begun = Instant::now();
        let pid = loop {
            let pid = std::fs::read_to_string(&self.pidfile).ok();
            if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
                break pid;
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("qemu does not start".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
        self.run.wait().map_err(|error| error.to_string())?;
        Ok(self.lines.iter().collect())
    }
}
