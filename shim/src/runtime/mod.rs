//! Calls of the OCI runtime, by runc's command line.

mod call;
mod criu;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::io::ChildStdio;
use crate::reaper::Launch;
use call::{Call, Failure, Undone, command, global_args};

/// The file in the bundle that has the pid of the container's init; containerd's shim has the same.
const INIT_PID: &str = "init.pid";

/// Which runtime it is, and how it is to be called. Kept in the bundle for `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuntimeConfig {
    /// The program: a path, or a name to look up in $PATH.
    pub(crate) program: PathBuf,
    /// What every call begins with.
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
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
        let mut call = self.call("create");
        call.option("--bundle", &self.bundle);
        if let Some(console) = console {
            call.option("--console-socket", console);
        }
        if self.config.no_pivot {
            call.flag("--no-pivot");
        }
        if self.config.no_new_keyring {
            call.flag("--no-new-keyring");
        }
        self.make(launch, call, stdio).await
    }

    /// Makes the container by a call that only lacks where to leave its init's pid, and returns that.
    async fn make(&self, launch: &Launch, mut call: Call, stdio: ChildStdio) -> Result<Pid> {
        let pid_file = self.bundle.join(INIT_PID);
        call.option("--pid-file", &pid_file);
        call.flag(&self.container);
        if let Err(Failure { error, undone }) = call.run_with(launch, stdio).await {
            if undone == Undone::Nothing {
                let _ = self.delete(launch, true).await;
            }
            return Err(error);
        }
        let pid = read_pid(&pid_file);
        if pid.is_err() {
            // A container that can't be waited for is none.
            let _ = self.delete(launch, true).await;
        }
        pid
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
        call.option("--process", spec.path());
        call.option("--pid-file", pid_file.path());
        call.flag("--detach");
        if let Some(console) = console {
            call.option("--console-socket", console);
        }
        call.flag(&self.container);
        call.run_with(launch, stdio).await.map_err(|failure| failure.error)?;
        read_pid(pid_file.path())
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

    /// The same, where it may have been done before.
    pub(crate) async fn delete_if_there(&self, launch: &Launch, force: bool) -> Result<()> {
        match self.delete(launch, force).await {
            Err(error) if error.to_string().contains("does not exist") => Ok(()),
            other => other,
        }
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
        call.option("--resources", resources.path());
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
        Call::new(&self.config, verb, self.scratch("log"), &self.bundle)
    }

    /// A file in the bundle that nobody else uses.
    fn scratch(&self, purpose: &str) -> Scratch {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Scratch { path: self.bundle.join(format!(".shim-{purpose}-{number}.json")) }
    }

    fn scratch_with(&self, purpose: &str, content: &[u8]) -> Result<Scratch> {
        let file = self.scratch(purpose);
        std::fs::write(file.path(), content)
            .context(|| format!("write {}", file.path().display()))?;
        Ok(file)
    }
}

/// How often a runtime that something killed is called anew.
const CUT_OFF_RETRIES: u32 = 3;

/// `delete --force`, waited for on the spot: for a process that does nothing else.
pub(crate) fn delete_by_force(config: &RuntimeConfig, container: &str) -> Result<()> {
    let mut args = global_args(config);
    args.extend(["delete".into(), "--force".into(), container.into()]);
    let what = || format!("run the OCI runtime {}", config.program.display());
    let run = || command(&config.program, &args).stdin(Stdio::null()).output().context(what);
    let mut output = run()?;
    for _ in 0..CUT_OFF_RETRIES {
        // What a runtime that was killed has left is for the next.
        if output.status.signal().is_none() {
            break;
        }
        output = run()?;
    }
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::unknown(format!("OCI runtime delete failed: {}", text.trim())))
}

/// The pid of the last init that was made for a bundle; 0 if there was none.
pub(crate) fn init_pid(bundle: &Path) -> u32 {
    let pid = read_pid(&bundle.join(INIT_PID));
    pid.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
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

impl Scratch {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}
