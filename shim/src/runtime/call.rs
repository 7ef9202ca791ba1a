//! One call of the runtime: its command line, its end, and what it had to say.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::MemfdFlags;
use serde::Deserialize;

use super::{RuntimeConfig, Scratch};
use crate::error::{Context, Error, Result};
use crate::io::ChildStdio;
use crate::linux;
use crate::oom;
use crate::ports;
use crate::reaper::Launch;

/// What every call begins with.
pub(super) fn global_args(config: &RuntimeConfig) -> Vec<OsString> {
    let mut args: Vec<OsString> = config.arguments.iter().map(OsString::from).collect();
    if let Some(root) = &config.root {
        args.extend(["--root".into(), root.clone().into_os_string()]);
    }
    if config.systemd_cgroup {
        args.push("--systemd-cgroup".into());
    }
    args
}

/// Variables that were meant for this process alone.
const OWN_VARIABLES: [&str; 5] =
    ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", ports::RELAYS];

/// The runtime's program, ready to be run.
pub(super) fn command(program: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    for variable in OWN_VARIABLES {
        command.env_remove(variable);
    }
    linux::end_with_us(&mut command);
    oom::begin_unspared(&mut command);
    command
}

/// Above this, a status means the signal that ended the program.
const SIGNALS: u32 = 128;

/// How a call that was to make something failed.
pub(super) struct Failure {
    pub(super) error: Error,
    /// What the runtime has taken back.
    pub(super) undone: Undone,
}

/// What a runtime that fails takes back of what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undone {
    /// Everything, as it should.
    All,
    /// Something killed it.
    Nothing,
}

/// One call of the runtime.
pub(super) struct Call {
    program: PathBuf,
    verb: &'static str,
    args: Vec<OsString>,
    log: Scratch,
    directory: PathBuf,
}

impl Call {
    /// Of `verb`, with the runtime's own log in `log`, in the bundle `directory`: programs that stand
    /// in for a runtime look for its config.json there.
    pub(super) fn new(
        config: &RuntimeConfig,
        verb: &'static str,
        log: Scratch,
        directory: &Path,
    ) -> Self {
        let mut args = global_args(config);
        args.extend(["--log".into(), log.path().as_os_str().to_owned()]);
        args.extend(["--log-format".into(), "json".into(), verb.into()]);
        let (program, directory) = (config.program.clone(), directory.to_owned());
        Call { program, verb, args, log, directory }
    }

    /// Adds `--name value`.
    pub(super) fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.args.extend([name.into(), value.as_ref().to_owned()]);
    }

    /// Adds a flag or an operand.
    pub(super) fn flag(&mut self, flag: impl AsRef<OsStr>) {
        self.args.push(flag.as_ref().to_owned());
    }

    /// Runs it with streams of its own; returns what it printed.
    pub(super) async fn run(self, launch: &Launch) -> Result<Vec<u8>> {
        let what = || "make a file in memory for the OCI runtime's output".to_owned();
        let stdout =
            File::from(rustix::fs::memfd_create("stdout", MemfdFlags::CLOEXEC).context(what)?);
        let stderr =
            File::from(rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC).context(what)?);
        let stdio = ChildStdio {
            stdin: Stdio::null(),
            stdout: stdout.try_clone().context(what)?.into(),
            stderr: stderr.try_clone().context(what)?.into(),
        };
        match self.wait(launch, stdio).await? {
            0 => Ok(read_from_start(stdout)),
            status => Err(self.failure(status, &read_from_start(stderr))),
        }
    }

    /// Runs it with the streams of the process that it is to make.
    pub(super) async fn run_with(
        self,
        launch: &Launch,
        stdio: ChildStdio,
    ) -> std::result::Result<(), Failure> {
        match self.wait(launch, stdio).await {
            Ok(0) => Ok(()),
            Ok(status) => Err(Failure {
                error: self.failure(status, b""),
                undone: if status > SIGNALS { Undone::Nothing } else { Undone::All },
            }),
            Err(error) => Err(Failure { error, undone: Undone::All }),
        }
    }

    async fn wait(&self, launch: &Launch, stdio: ChildStdio) -> Result<u32> {
        let mut command = command(&self.program, &self.args);
        command.current_dir(&self.directory);
        command.stdin(stdio.stdin).stdout(stdio.stdout).stderr(stdio.stderr);
        let mut program = launch.spawn(&mut command).map_err(|error| {
            let program = self.program.display();
            Error::unknown(format!(
                "OCI runtime {} failed: can't run {program}: {error}",
                self.verb
            ))
        })?;
        // Our copies of the process's ends of its pipes: they would never end otherwise.
        drop(command);
        program.ended().await.map(|exit| exit.status)
    }

    /// What went wrong, in the runtime's own words where it left any.
    fn failure(&self, status: u32, stderr: &[u8]) -> Error {
        let log = std::fs::read(self.log.path()).unwrap_or_default();
        let stderr = String::from_utf8_lossy(stderr);
        let message = last_error(&log)
            .or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned))
            .unwrap_or_else(|| format!("{} exited with status {status}", self.program.display()));
        Error::unknown(format!("OCI runtime {} failed: {message}", self.verb))
    }
}

/// The last message of level error (or worse) in a runtime's JSON log; the last of any level where
/// there is none.
fn last_error(log: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        level: String,
        #[serde(default)]
        msg: String,
    }
    let entries = log
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
        .filter(|entry| !entry.msg.is_empty());
    let (mut last, mut worst) = (None, None);
    for entry in entries {
        if matches!(entry.level.as_str(), "error" | "fatal" | "panic") {
            worst = Some(entry.msg.clone());
        }
        last = Some(entry.msg);
    }
    worst.or(last)
}

fn read_from_start(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    if file.rewind().is_ok() {
        // What was read before an error is all there is to be had.
        let _ = file.read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_went_wrong() {
        let log = br#"{"level":"warning","msg":"hm","time":"x"}
{"level":"error","msg":"exec: \"nope\": executable file not found in $PATH"}
not json
{"level":"debug","msg":"bye"}"#;
        let expected = "exec: \"nope\": executable file not found in $PATH";
        assert_eq!(last_error(log).as_deref(), Some(expected));
        assert_eq!(last_error(br#"{"msg":"only this"}"#).as_deref(), Some("only this"));
        assert_eq!(last_error(b""), None);
    }
}
