//! Kills a process at one exact point of its work: as it is about to make the n-th system call that
//! changes the world.
//!
//! The programs know nothing of this: they are traced. A thread of ours steps the victim from call
//! to call, lets everybody else run, and follows the processes that they start, since the victim
//! may not be there yet. When that thread ends, the kernel lets go of all that it traced.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tare_integration::programs;

use crate::calls;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    /// `tared`.
    Daemon,
    /// Whatever runs the shim's program: the server, and the calls that start it and clean up.
    Shim,
    /// Whatever runs the runtime's program, inside of the container too.
    Runtime,
}

impl Victim {
    fn program(self) -> &'static str {
        match self {
            Self::Daemon => "tared",
            Self::Shim => "containerd-shim-tare-v2",
            Self::Runtime => "tare",
        }
    }

    /// Whether this process is one.
    fn is(self, process: Pid) -> bool {
        let link = format!("/proc/{process}/exe");
        let same_file = || {
            let running = fs::metadata(&link).ok()?;
            let program = fs::metadata(programs::directory().join(self.program())).ok()?;
            Some((running.dev(), running.ino()) == (program.dev(), program.ino()))
        };
        // The runtime may execute a copy of itself that is in memory.
        let copy = format!("/memfd:{}", self.program());
        let is_copy = |exe: PathBuf| exe.to_string_lossy().starts_with(&copy);
        same_file() == Some(true) || fs::read_link(&link).is_ok_and(is_copy)
    }
}

/// How the traced work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The victim was killed, about to make this call.
    Killed(String),
    /// There were fewer steps.
    Done,
}

/// Processes that are being traced.
pub(crate) struct Tracer {
    /// Closing this ends the process that the thread waits for together with all others.
    bell: ChildStdin,
    thread: JoinHandle<((End, usize), Child)>,
}

impl Tracer {
    /// Traces `processes` and what comes of them, to kill the victim at its step number `step`.
    pub(crate) fn start(processes: Vec<i32>, victim: Victim, step: usize) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut bell = spawn_bell().expect("run cat");
            let mut tracing = Tracing::begin(&processes, victim);
            let input = bell.stdin.take().expect("its input is piped");
            sender.send(input).expect("the test waits for it");
            (tracing.run(step, Pid::from_raw(bell.id().cast_signed())), bell)
        });
        let bell = receiver.recv().expect("everything is traced");
        Self { bell, thread }
    }

    /// What came of it, and how many steps the victim took. All processes that are left go on untraced.
    pub(crate) fn finish(self) -> (End, usize) {
        drop(self.bell);
        let (end, mut bell) = self.thread.join().expect("the tracing thread");
        // The thread may have waited for it already.
        let _ = bell.wait();
        end
    }
}

/// A process whose end wakes the thread.
fn spawn_bell() -> io::Result<Child> {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}

/// Children of this thread, and what it traces.
const MINE: WaitPidFlag = WaitPidFlag::__WALL.union(WaitPidFlag::__WNOTHREAD);

struct Tracing {
    victim: Victim,
    /// Each traced thread's process, if that is the victim.
    threads: HashMap<Pid, Option<Pid>>,
}

impl Tracing {
    fn begin(processes: &[i32], victim: Victim) -> Self {
        let mut tracing = Self { victim, threads: HashMap::new() };
        for process in processes {
            tracing.seize(Pid::from_raw(*process));
        }
        tracing
    }

    /// Takes all threads of a process. New ones may be coming as long as not all are taken.
    fn seize(&mut self, process: Pid) {
        let mut options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
        if self.victim != Victim::Daemon {
            options |= Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACEEXEC;
        }
        loop {
            let threads = threads_of(process);
            let new: Vec<_> =
                threads.into_iter().filter(|id| !self.threads.contains_key(id)).collect();
            if new.is_empty() {
                return;
            }
            for thread in new {
                match ptrace::seize(thread, options) {
                    Ok(()) => ptrace::interrupt(thread).expect("hold a thread"),
                    // It has ended, or was taken together with the one that made it.
                    Err(Errno::ESRCH | Errno::EPERM) => {}
                    Err(error) => panic!("trace {thread}: {error}; is it traced already?"),
                }
                self.look(thread);
            }
        }
    }

    /// Looks whose thread this is.
    fn look(&mut self, thread: Pid) -> Option<Pid> {
        let process = process_of(thread).filter(|process| self.victim.is(*process));
        self.threads.insert(thread, process);
        process
    }

    /// Goes on until the victim is killed or the bell rings.
    fn run(&mut self, step: usize, bell: Pid) -> (End, usize) {
        let mut steps = 0;
        let mut killed = None;
        let mut is_over = false;
        loop {
            let status = match waitpid(None::<Pid>, Some(MINE)) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(error) => panic!("wait for traced processes: {error}"),
            };
            let Some(thread) = status.pid() else { continue };
            if thread == bell {
                is_over = true;
            }
            if is_over && killed.is_none() {
                return (End::Done, steps);
            }
            let victim = match self.threads.get(&thread) {
                Some(victim) => *victim,
                None => self.look(thread),
            };
            match status {
                WaitStatus::PtraceSyscall(_) => {
                    if let Some(victim) = victim
                        && let Some(call) = entered(thread)
                    {
                        steps += 1;
                        if steps == step {
                            kill(victim, Signal::SIGKILL).expect("kill the victim");
                            killed = Some((victim, call));
                        }
                    }
                    go_on(thread, victim, None);
                }
                WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                    let victim = self.look(thread);
                    go_on(thread, victim, None);
                }
                WaitStatus::Stopped(_, signal) => go_on(thread, victim, Some(signal)),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                    self.threads.remove(&thread);
                    // The process goes with its last thread.
                    if let Some((_, call)) = killed.take_if(|(victim, _)| *victim == thread) {
                        return (End::Killed(call), steps);
                    }
                }
                _ => go_on(thread, victim, None),
            }
        }
    }
}

/// Lets a thread go on: the victim's to its next call.
fn go_on(thread: Pid, victim: Option<Pid>, signal: Option<Signal>) {
    let gone = match victim {
        Some(_) => ptrace::syscall(thread, signal),
        None => ptrace::cont(thread, signal),
    };
    match gone {
        // Something else has killed it.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("let {thread} go on: {error}"),
    }
}

/// The call that a held thread is about to make, if it is one that changes the world.
fn entered(thread: Pid) -> Option<String> {
    let info = ptrace::syscall_info(thread).ok()?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // Its number and arguments, in words.
    let text = fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?;
    calls::changing(thread, &text)
}

fn threads_of(process: Pid) -> Vec<Pid> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .collect()
}

fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok().map(Pid::from_raw)
}
