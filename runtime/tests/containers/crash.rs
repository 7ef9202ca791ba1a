//! The runtime, or the process that it has made, is killed in the middle of its work, wherever that
//! is: what there is then can be used or removed, and nothing stays behind.
//!
//! The processes are traced, and killed at one system call after another. A test goes through a
//! fraction of them; `TARE_TEST_EVERY_STEP=1` has it go through all.

use crate::bundle::{self, Bundle};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The runtime that was called.
    Caller,
    /// The process it has made, on its way to being the container's program.
    Inner,
}

/// How a traced run ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The victim was killed at its step.
    Killed,
    /// It was killed when its caller took its work for done already, and succeeded.
    KilledLate,
    /// It had fewer steps: the work was done before.
    Done,
}

/// Runs `tare` with `args` and kills the victim when it has made `step` system calls. The other
/// process goes on untouched, as far as it can.
fn kill_at(bundle: &Bundle, args: &[&str], victim: Victim, step: usize) -> End {
    // A shell stops itself, so that it is held from the first step of the program that it becomes.
    let line = format!("kill -STOP $$; exec {} --root containers {}", bundle::TARE, args.join(" "));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(bundle.path()).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = shell.spawn().unwrap();
    let caller = Pid::from_raw(child.id() as i32);
    assert!(matches!(
        waitpid(caller, Some(WaitPidFlag::WUNTRACED)).unwrap(),
        WaitStatus::Stopped(_, Signal::SIGSTOP)
    ));
    let follow = Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(caller, follow).unwrap();
    kill(caller, Signal::SIGCONT).unwrap();
    let mut traced = BTreeSet::from([caller]);
    let end = trace(caller, victim, step, &mut traced);
    // Those that were made as their maker was killed have not been seen yet.
    traced.extend(held_by_this_thread());
    for pid in traced {
        // It has to be held to be let go; if it has died, to be seen is all it waits for.
        let _ = ptrace::interrupt(pid);
        if waitpid(pid, Some(WaitPidFlag::__WALL)).is_ok() {
            let _ = ptrace::detach(pid, None);
        }
    }
    // It was waited for by its tracer; there is nothing left to wait for.
    assert!(child.wait().is_err());
    end
}

/// Lets the processes go from call to call until the caller has ended. `traced` then has those that
/// are left.
fn trace(caller: Pid, victim: Victim, step: usize, traced: &mut BTreeSet<Pid>) -> End {
    let (mut calls, mut executed, mut end) = (0, false, End::Done);
    let mine = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        let status = waitpid(None::<Pid>, Some(mine)).unwrap();
        let Some(pid) = status.pid() else { continue };
        traced.insert(pid);
        let is_victim = (pid == caller) == (victim == Victim::Caller);
        match status {
            WaitStatus::PtraceSyscall(_) if is_victim && executed && end == End::Done => {
                calls += 1;
                // Each call stops twice, before and after.
                if calls == 2 * step {
                    end = End::Killed;
                    kill(pid, Signal::SIGKILL).unwrap();
                    continue;
                }
                let _ = ptrace::syscall(pid, None);
            }
            WaitStatus::PtraceEvent(_, _, event) if event == libc::PTRACE_EVENT_EXEC => {
                // The runtime executes itself anew; a process inside, its program: that is left alone.
                executed = true;
                let _ = match pid == caller {
                    true => ptrace::syscall(pid, None),
                    false => {
                        traced.remove(&pid);
                        ptrace::detach(pid, None)
                    }
                };
            }
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGSTOP => {
                let _ = ptrace::syscall(pid, Some(signal));
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                traced.remove(&pid);
                if pid == caller {
                    let succeeded = matches!(status, WaitStatus::Exited(_, 0));
                    return if end == End::Killed && succeeded { End::KilledLate } else { end };
                }
            }
            _ => {
                let _ = ptrace::syscall(pid, None);
            }
        }
    }
}

/// Processes that this thread traces. One that is killed stays until its tracer has seen it.
fn held_by_this_thread() -> impl Iterator<Item = Pid> {
    let tracer = format!("TracerPid:\t{}\n", nix::unistd::gettid());
    fs::read_dir("/proc").unwrap().filter_map(move |entry| {
        let entry = entry.unwrap();
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        status.contains(&tracer).then_some(Pid::from_raw(pid))
    })
}

/// Processes that are in the bundle's cgroup, or not there yet but in its directory.
fn processes(bundle: &Bundle) -> Vec<PathBuf> {
    fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|process| {
            let cgroup = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
            let directory = fs::read_link(process.join("cwd"));
            cgroup.contains(bundle.cgroup())
                || directory.is_ok_and(|directory| directory.starts_with(bundle.path()))
        })
        .filter(|process| !process.ends_with("self") && !process.ends_with("thread-self"))
        .collect()
}

/// The directories of the bundle's cgroup, in whatever hierarchy.
fn cgroups(bundle: &Bundle) -> Vec<PathBuf> {
    let name = bundle.cgroup().trim_start_matches('/');
    let tops = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    tops.chain([PathBuf::from("/sys/fs/cgroup")])
        .map(|top| top.join(name))
        .filter(|directory| directory.exists())
        .collect()
}

/// Requires that nothing is left of the container once it is deleted by force.
#[track_caller]
fn leaves_nothing(bundle: &Bundle, what: &str) {
    bundle.wait_until(&format!("{what}: no process is left"), || {
        let deleted = bundle.tare(&["delete", "--force", "c"]);
        deleted.status == 0 && processes(bundle).is_empty()
    });
    assert_eq!(cgroups(bundle), Vec::<PathBuf>::new(), "{what}");
    let left = fs::read_dir(bundle.path().join("containers")).into_iter().flatten();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{what}: {left:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(bundle.path().to_str().unwrap()), "{what}: {mounts}");
}

/// Goes through the steps of a command: all of them, or every `stride`th from a start that is not
/// always the same.
fn each_step(stride: usize, mut at: impl FnMut(usize) -> End) {
    let every = std::env::var_os("TARE_TEST_EVERY_STEP").is_some();
    let (first, stride) = match every {
        true => (1, 1),
        false => (1 + std::process::id() as usize % stride, stride),
    };
    let mut step = first;
    let mut killed = 0;
    while at(step) != End::Done {
        step += stride;
        killed += 1;
    }
    assert!(killed > 4, "there were no steps to kill at: {killed}");
}

#[test]
fn a_create_that_is_killed_leaves_nothing() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    each_step(23, |step| {
        let end = kill_at(&bundle, &["create", "c"], Victim::Caller, step);
        leaves_nothing(&bundle, &format!("create, step {step}"));
        end
    });
}

#[test]
fn an_init_that_is_killed_leaves_nothing() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    each_step(31, |step| {
        let end = kill_at(&bundle, &["run", "--detach", "c"], Victim::Inner, step);
        if end == End::Killed {
            // The caller has cleaned up by itself.
            assert_eq!(bundle.tare(&["list", "--quiet"]).ok(), "", "step {step}");
        }
        leaves_nothing(&bundle, &format!("init, step {step}"));
        end
    });
}

#[test]
fn a_run_that_is_killed_leaves_nothing() {
    let bundle = Bundle::new(&["true"]);
    each_step(41, |step| {
        let end = kill_at(&bundle, &["run", "c"], Victim::Caller, step);
        leaves_nothing(&bundle, &format!("run, step {step}"));
        end
    });
}

/// A container whose `start` was killed is created still, or runs: it is never in between.
#[test]
fn a_start_that_is_killed_has_started_or_can_be_repeated() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    each_step(9, |step| {
        bundle.leave(&["create", "c"]);
        let end = kill_at(&bundle, &["start", "c"], Victim::Caller, step);
        if bundle.state("c")["status"] == "created" {
            // It may have been let go just now.
            let again = bundle.tare(&["start", "c"]);
            assert!(again.status == 0 || again.err.contains("already running"), "{again:?}");
        }
        bundle.wait_for("c", "running");
        leaves_nothing(&bundle, &format!("start, step {step}"));
        end
    });
}

/// An `exec` that is killed leaves the container as it was, with no process more.
#[test]
fn an_exec_that_is_killed_leaves_the_container_alone() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    for (victim, stride) in [(Victim::Caller, 29), (Victim::Inner, 13)] {
        each_step(stride, |step| {
            let end = kill_at(&bundle, &["exec", "c", "true"], victim, step);
            bundle.wait_until("the process that joined is gone", || processes(&bundle).len() == 1);
            assert_eq!(bundle.state("c")["status"], "running", "{victim:?}, step {step}");
            end
        });
    }
    bundle.tare(&["exec", "c", "true"]).ok();
    leaves_nothing(&bundle, "exec");
}

/// A container that is killed while it is being deleted can be deleted again.
#[test]
fn a_delete_that_is_killed_can_be_repeated() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    each_step(17, |step| {
        bundle.start("c");
        let end = kill_at(&bundle, &["delete", "--force", "c"], Victim::Caller, step);
        leaves_nothing(&bundle, &format!("delete, step {step}"));
        end
    });
}
