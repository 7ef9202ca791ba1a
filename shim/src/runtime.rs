//! Calls of the OCI runtime, by runc's command line.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::MemfdFlags;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::io::ChildStdio;
use crate::reaper::Launch;

/// Which runtime it is, and how it is to be called. Kept in the bundle for `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuntimeConfig {
    /// The program: a path, or a name to look up in $PATH.
    pub(crate) program: PathBuf,
    /// Its `--root`; its own default where `None`.
    pub(crate) root: Option<PathBuf>,
    /// Pass `--systemd-cgroup`.
    pub(crate) systemd_cgroup: bool,
    /// Pass `--no-pivot` to `create`.
    pub(crate) no_pivot: bool,
    /// Pass `--no-new-keyring` to `create`.
    pub(crate) no_new_keyring: bool,
}

/// The runtime of one container.
pub(crate) struct Runtime {
    config: RuntimeConfig,
    container: String,
    /// Where files that are passed to the runtime are put.
    bundle: PathBuf,
    calls: AtomicU64,
}

impl Runtime {
    /// For the container `id` of `bundle`.
    pub(crate) fn new(config: RuntimeConfig, container: &str, bundle: &Path) -> Self {
        let (container, bundle) = (container.to_owned(), bundle.to_owned());
        Runtime { config, container, bundle, calls: AtomicU64::new(0) }
    }

    /// `create`: makes the container, with `stdio` as its init's streams (the terminal comes over
    /// `console` instead), and returns the init's pid.
    pub(crate) async fn create(
        &self,
        launch: &Launch,
        stdio: ChildStdio,
        console: Option<&Path>,
    ) -> Result<Pid> {
        let pid_file = self.scratch("pid");
        let mut call = self.call("create");
        call.option("--bundle", &self.bundle);
        call.option("--pid-file", &pid_file.path);
        if let Some(console) = console {
            call.option("--console-socket", console);
        }
        if self.config.no_pivot {
            call.flag("--no-pivot");
        }
        if self.config.no_new_keyring {
            call.flag("--no-new-keyring");
        }
        call.flag(&self.container);
        call.run_with(launch, stdio).await?;
        read_pid(&pid_file.path)
    }

    /// `start`: lets the container's init go.
    pub(crate) async fn start(&self, launch: &Launch) -> Result<()> {
        self.simple(launch, "start", &[]).await
    }

    /// `exec`: runs another process in the container, as the OCI process object `spec` says, and
    /// returns its pid.
    pub(crate) async fn exec(
        &self,
        launch: &Launch,
        spec: &[u8],
        stdio: ChildStdio,
        console: Option<&Path>,
    ) -> Result<Pid> {
        let pid_file = self.scratch("pid");
        let spec = self.scratch_with("process", spec)?;
        let mut call = self.call("exec");
        call.option("--process", &spec.path);
        call.option("--pid-file", &pid_file.path);
        call.flag("--detach");
        if let Some(console) = console {
            call.option("--console-socket", console);
        }
        call.flag(&self.container);
        call.run_with(launch, stdio).await?;
        read_pid(&pid_file.path)
    }

    /// `kill`: sends a signal to the container's init, or to all of its processes.
    pub(crate) async fn kill(&self, launch: &Launch, signal: u32, all: bool) -> Result<()> {
        let mut call = self.call("kill");
        if all {
            call.flag("--all");
        }
        call.flag(&self.container);
        call.flag(signal.to_string());
        call.run(launch).await.map(drop)
    }

    /// `delete`: takes down what is left of the container; with `force`, kills it first.
    pub(crate) async fn delete(&self, launch: &Launch, force: bool) -> Result<()> {
        let flags: &[&str] = if force { &["--force"] } else { &[] };
        self.simple(launch, "delete", flags).await
    }

    /// `pause`: freezes the container's processes.
    pub(crate) async fn pause(&self, launch: &Launch) -> Result<()> {
        self.simple(launch, "pause", &[]).await
    }

    /// `resume`: lets them go on.
    pub(crate) async fn resume(&self, launch: &Launch) -> Result<()> {
        self.simple(launch, "resume", &[]).await
    }

    /// `update`: sets the container's limits to `resources`, OCI LinuxResources as JSON.
    pub(crate) async fn update(&self, launch: &Launch, resources: &[u8]) -> Result<()> {
        let resources = self.scratch_with("resources", resources)?;
        let mut call = self.call("update");
        call.option("--resources", &resources.path);
        call.flag(&self.container);
        call.run(launch).await.map(drop)
    }

    /// `ps`: the pids of the container's processes, as the host counts them.
    pub(crate) async fn pids(&self, launch: &Launch) -> Result<Vec<u32>> {
        let mut call = self.call("ps");
        call.option("--format", "json");
        call.flag(&self.container);
        let output = call.run(launch).await?;
        // No process at all is shown as null.
        let pids: Option<Vec<u32>> = serde_json::from_slice(&output)
            .context(|| "understand the OCI runtime's list of processes".to_owned())?;
        Ok(pids.unwrap_or_default())
    }

    async fn simple(&self, launch: &Launch, verb: &'static str, flags: &[&str]) -> Result<()> {
        let mut call = self.call(verb);
        for flag in flags {
            call.flag(flag);
        }
        call.flag(&self.container);
        call.run(launch).await.map(drop)
    }

    fn call(&self, verb: &'static str) -> Call {
        let log = self.scratch("log");
        let mut args = global_args(&self.config);
        args.extend([
            "--log".into(),
            log.path.clone().into_os_string(),
            "--log-format".into(),
            "json".into(),
            verb.into(),
        ]);
        Call { program: self.config.program.clone(), verb, args, log }
    }

    /// A file in the bundle that nobody else uses.
    fn scratch(&self, purpose: &str) -> Scratch {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Scratch { path: self.bundle.join(format!(".shim-{purpose}-{number}.json")) }
    }

    fn scratch_with(&self, purpose: &str, content: &[u8]) -> Result<Scratch> {
        let file = self.scratch(purpose);
        std::fs::write(&file.path, content).context(|| format!("write {}", file.path.display()))?;
        Ok(file)
    }
}

/// What every call begins with.
fn global_args(config: &RuntimeConfig) -> Vec<OsString> {
    let mut args = Vec::new();
    if let Some(root) = &config.root {
        args.extend(["--root".into(), root.clone().into_os_string()]);
    }
    if config.systemd_cgroup {
        args.push("--systemd-cgroup".into());
    }
    args
}

/// Variables that were meant for this process alone.
const OWN_VARIABLES: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"];

fn command(program: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    for variable in OWN_VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// `delete --force`, waited for on the spot: for a process that does nothing else.
pub(crate) fn delete_by_force(config: &RuntimeConfig, container: &str) -> Result<()> {
    let mut args = global_args(config);
    args.extend(["delete".into(), "--force".into(), container.into()]);
    let mut command = command(&config.program, &args);
    let output = command
        .stdin(Stdio::null())
        .output()
        .context(|| format!("run the OCI runtime {}", config.program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::unknown(format!("OCI runtime delete failed: {}", text.trim())))
}

/// One call of the runtime.
struct Call {
    program: PathBuf,
    verb: &'static str,
    args: Vec<OsString>,
    log: Scratch,
}

impl Call {
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.args.extend([name.into(), value.as_ref().to_owned()]);
    }

    fn flag(&mut self, flag: impl AsRef<OsStr>) {
        self.args.push(flag.as_ref().to_owned());
    }

    /// Runs it with streams of its own; returns what it printed.
    async fn run(self, launch: &Launch) -> Result<Vec<u8>> {
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
    async fn run_with(self, launch: &Launch, stdio: ChildStdio) -> Result<()> {
        match self.wait(launch, stdio).await? {
            0 => Ok(()),
            status => Err(self.failure(status, b"")),
        }
    }

    async fn wait(&self, launch: &Launch, stdio: ChildStdio) -> Result<u32> {
        let mut command = command(&self.program, &self.args);
        command.stdin(stdio.stdin).stdout(stdio.stdout).stderr(stdio.stderr);
        let ended = launch.spawn(&mut command).map_err(|error| {
            let program = self.program.display();
            Error::unknown(format!(
                "OCI runtime {} failed: can't run {program}: {error}",
                self.verb
            ))
        })?;
        // Our copies of the process's ends of its pipes: they would never end otherwise.
        drop(command);
        let ended = ended.await.context(|| format!("wait for the OCI runtime's {}", self.verb))?;
        Ok(ended.status)
    }

    /// What went wrong, in the runtime's own words where it left any.
    fn failure(&self, status: u32, stderr: &[u8]) -> Error {
        let log = std::fs::read(&self.log.path).unwrap_or_default();
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

fn read_pid(path: &Path) -> Result<Pid> {
    let what = || format!("read the pid that the OCI runtime left in {}", path.display());
    let text = std::fs::read_to_string(path).context(what)?;
    let pid = text.trim().parse().context(what)?;
    Pid::from_raw(pid).ok_or_else(|| Error::unknown(format!("{}: it is {pid}", what())))
}

/// A file for one call; removed when dropped.
struct Scratch {
    path: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
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
