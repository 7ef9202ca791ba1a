//! Reaps every process that ends below this one, and tells whoever waits for it how it ended.
//!
//! A container's init isn't our child at first: it becomes ours when the runtime that made it
//! exits, and it may have ended before we learn its pid. So while anything is being launched, the
//! ends of processes that nobody knows yet are kept.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
    waitid,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::{Context, Error, Result};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code; 128 + n where signal n ended it.
    pub(crate) status: u32,
    /// When it was reaped.
    pub(crate) at: SystemTime,
}

/// Resolves when a process has ended.
pub(crate) type ExitReceiver = oneshot::Receiver<Exit>;

/// The one who reaps.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    awaited: HashMap<Pid, oneshot::Sender<Exit>>,
    /// Ends that nobody waited for, kept while `launches` isn't 0.
    unclaimed: HashMap<Pid, Exit>,
    launches: usize,
}

impl Reaper {
    /// Makes this process the one that orphans below it go to, and reaps from now on.
    pub(crate) fn begin() -> Result<Arc<Self>> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .context(|| "become the subreaper".to_owned())?;
        let ends = signal(SignalKind::child()).context(|| "listen for SIGCHLD".to_owned())?;
        let reaper = Arc::new(Reaper::default());
        tokio::spawn(Arc::clone(&reaper).run(ends));
        Ok(reaper)
    }

    /// Announces that a process will be launched whose pid isn't known at first.
    pub(crate) fn launch(self: &Arc<Self>) -> Launch {
        self.lock().launches += 1;
        Launch { reaper: Arc::clone(self) }
    }

    async fn run(self: Arc<Self>, mut ends: Signal) {
        // One signal may stand for many ends.
        while ends.recv().await.is_some() {
            self.reap();
        }
    }

    fn reap(&self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.tell(pid, status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn tell(&self, pid: Pid, status: WaitStatus) {
        let Some(status) = shell_status(status) else { return };
        let exit = Exit { status, at: SystemTime::now() };
        let mut inner = self.lock();
        match inner.awaited.remove(&pid) {
            // A receiver that has gone isn't interested any more.
            Some(sender) => _ = sender.send(exit),
            None if inner.launches > 0 => _ = inner.unclaimed.insert(pid, exit),
            None => {}
        }
    }

    /// Kills a process that is awaited, with its group if it leads one. No other can be hit: as long
    /// as nobody has been told of its end, nobody else has its number.
    fn kill(&self, pid: Pid) {
        if self.lock().awaited.contains_key(&pid) {
            let _ = kill_process_group(pid, rustix::process::Signal::KILL);
            let _ = kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exit code as a shell shows it; `None` for a process that was only stopped.
fn shell_status(status: WaitStatus) -> Option<u32> {
    let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?))?;
    u32::try_from(code).ok()
}

/// How often a program is tried that somebody is about to write, and after what pause.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(2);

/// Starts a program. A container can have got hold of the runtime's file, and try to open it for
/// writing: the kernel will refuse that, but until it has, it refuses to execute the file.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    for _ in 1..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    command.spawn()
}

/// The right to have processes awaited; ends aren't lost while it lives.
pub(crate) struct Launch {
    reaper: Arc<Reaper>,
}

impl Launch {
    /// Starts a program that isn't to outlive its caller's interest.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<Awaited> {
        self.spawn_known(command).map(|(pid, ended)| self.guard(pid, ended))
    }

    /// Starts a program. No end can be missed: this thread is the one that reaps. The pid names the
    /// program until its end is told.
    pub(crate) fn spawn_known(
        &self,
        command: &mut Command,
    ) -> std::io::Result<(Pid, ExitReceiver)> {
        let child = spawn(command)?;
        let (sender, receiver) = oneshot::channel();
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(std::io::ErrorKind::InvalidData)?;
        self.reaper.lock().awaited.insert(pid, sender);
        Ok((pid, receiver))
    }

    /// Waits for a process that a program of ours left behind, and that isn't to outlive its caller's
    /// interest.
    pub(crate) fn adopt_guarded(&self, pid: Pid) -> Result<Awaited> {
        self.adopt(pid).map(|ended| self.guard(pid, ended))
    }

    fn guard(&self, pid: Pid, ended: ExitReceiver) -> Awaited {
        Awaited { pid, ended, has_ended: false, reaper: Arc::clone(&self.reaper) }
    }

    /// Waits for a process that a program of ours left behind, which may have ended already.
    pub(crate) fn adopt(&self, pid: Pid) -> Result<ExitReceiver> {
        let (sender, receiver) = oneshot::channel();
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let is_ours = waitid(WaitId::Pid(pid), look).is_ok();
        let mut inner = self.reaper.lock();
        if is_ours {
            // It lives, or nobody has reaped it yet: any older end was another's of this number.
            inner.awaited.insert(pid, sender);
            return Ok(receiver);
        }
        let exit = inner.unclaimed.remove(&pid).ok_or_else(|| {
            let pid = pid.as_raw_nonzero();
            Error::unknown(format!("process {pid}, which the OCI runtime named, isn't there"))
        })?;
        let _ = sender.send(exit);
        Ok(receiver)
    }
}

/// A process that is awaited; it is killed when this is dropped before its end.
pub(crate) struct Awaited {
    pid: Pid,
    ended: ExitReceiver,
    has_ended: bool,
    reaper: Arc<Reaper>,
}

impl Awaited {
    /// Waits for its end, which is told once.
    pub(crate) async fn ended(&mut self) -> Result<Exit> {
        let ended = (&mut self.ended).await.context(|| "wait for a process".to_owned());
        self.has_ended = true;
        ended
    }

    /// Kills it, and its process group if it leads one.
    pub(crate) fn kill(&self) {
        if !self.has_ended {
            self.reaper.kill(self.pid);
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        let mut inner = self.reaper.lock();
        inner.launches -= 1;
        if inner.launches == 0 {
            inner.unclaimed = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test only: it reaps all children of the test's process.
    #[tokio::test]
    async fn no_end_is_lost() {
        let reaper = Reaper::begin().unwrap();
        let launch = reaper.launch();
        let mut program = launch.spawn(Command::new("sh").args(["-c", "exit 7"])).unwrap();
        assert_eq!(program.ended().await.unwrap().status, 7);
        let mut program = launch.spawn(Command::new("sleep").arg("1000")).unwrap();
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), program.ended());
        assert!(early.await.is_err());
        program.kill();
        assert_eq!(program.ended().await.unwrap().status, 137);
        let (pid, ended) = launch.spawn_known(Command::new("sleep").arg("1000")).unwrap();
        drop(launch.guard(pid, ended));

        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("pid");
        // A grandchild that ends by a signal before anyone has asked for it.
        let script = format!("sh -c 'kill -9 $$' & echo $! > {}; wait", pid_file.display());
        launch.spawn(Command::new("sh").args(["-c", &script])).unwrap().ended().await.unwrap();
        let script = format!("sh -c 'sleep 0.2; kill -9 $$' & echo $! > {}", pid_file.display());
        launch.spawn(Command::new("sh").args(["-c", &script])).unwrap().ended().await.unwrap();
        let pid = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let grandchild = launch.adopt(Pid::from_raw(pid).unwrap()).unwrap();
        assert_eq!(grandchild.await.unwrap().status, 137);

        assert!(launch.adopt(Pid::from_raw(pid).unwrap()).is_err());

        // A file that somebody has open for writing, for a while.
        let busy = directory.path().join("busy");
        std::fs::copy("/bin/true", &busy).unwrap();
        let writer = std::fs::File::options().append(true).open(&busy).unwrap();
        assert!(Command::new(&busy).spawn().is_err());
        let writer = thread::spawn(|| {
            thread::sleep(PAUSE * 5);
            drop(writer);
        });
        let mut program = launch.spawn(&mut Command::new(&busy)).unwrap();
        assert_eq!(program.ended().await.unwrap().status, 0);
        writer.join().unwrap();

        drop(launch);
        // What was dropped has been killed, and reaped at last.
        while !reaper.lock().awaited.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
