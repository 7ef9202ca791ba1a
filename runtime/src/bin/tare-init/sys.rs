//! The system calls of this program, and its only unsafe code.
//!
//! It goes without Rust's own start-up: that would ignore SIGPIPE, which the command would inherit,
//! and cost memory in every container.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId(libc::pid_t);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this exit code.
    Exited(c_int),
    /// By this signal.
    Killed(c_int),
}

/// A set of signals.
pub(crate) struct Signals(libc::sigset_t);

/// Signals by which a process hears of its own faults: holding them back would hide the fault.
const FAULTS: [c_int; 7] = [
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Signals that stop a process in the background when it touches its terminal, which this one is
/// once the command has the terminal.
const TERMINAL: [c_int; 2] = [libc::SIGTTIN, libc::SIGTTOU];

/// The entry point.
// SAFETY: no other symbol of this name is linked in, for the crate is `no_main`.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, values: *const *const c_char) -> c_int {
    let count = usize::try_from(count).unwrap_or_default();
    let mut arguments = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: the C library calls `main` with an array of `count` pointers to strings that
        // live as long as the process.
        arguments.push(unsafe { CStr::from_ptr(*values.add(index)) });
    }
    crate::run(&arguments)
}

/// Makes signals wait until [`next_signal`] asks for them; returns the set that waited before.
pub(crate) fn hold_signals() -> io::Result<Signals> {
    let mut held = every_signal();
    for signal in FAULTS.into_iter().chain(TERMINAL) {
        // SAFETY: `held` is a valid set.
        unsafe { libc::sigdelset(&raw mut held, signal) };
    }
    let mut before = MaybeUninit::uninit();
    // SAFETY: `held` is a valid set, and the kernel fills `before`.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const held, before.as_mut_ptr()) })?;
    for signal in TERMINAL {
        // SAFETY: ignoring a signal runs no code of this program.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: the call above succeeded, so `before` is filled.
    Ok(Signals(unsafe { before.assume_init() }))
}

fn every_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set, and cannot fail on a valid address.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Makes this process the one that orphans below it go to. The first process of a pid namespace is
/// that already.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    if std::process::id() == 1 {
        return Ok(());
    }
    // SAFETY: this option takes plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Starts `command` in a process group of its own, in the foreground if there is a terminal, with
/// the signals as they were `before`. In the child, a failure to execute calls `refused`, whose
/// result becomes the exit code.
pub(crate) fn start(
    command: &[&CStr],
    before: &Signals,
    refused: impl FnOnce(io::Error) -> c_int,
) -> io::Result<ProcessId> {
    let mut pointers: Vec<*const c_char> =
        command.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: this process has one thread, so the child may do whatever this one may.
    match check(unsafe { libc::fork() })? {
        0 => {
            let error = become_command(&pointers, before);
            std::process::exit(refused(error))
        }
        child => Ok(ProcessId(child)),
    }
}

/// Turns this process into the command; returns only if that fails.
fn become_command(pointers: &[*const c_char], before: &Signals) -> io::Error {
    // SAFETY: plain numbers and valid sets; SIG_DFL runs no code of this program.
    unsafe {
        // Signals from the terminal go to the command and its children, not to this program twice.
        if libc::setpgid(0, 0) == 0 {
            // Fails where standard input is no terminal, which is as well.
            libc::tcsetpgrp(libc::STDIN_FILENO, libc::getpgrp());
        }
        for signal in TERMINAL {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const before.0, std::ptr::null_mut());
    }
    match pointers {
        // SAFETY: `pointers` is a list of strings that ends with a null pointer.
        [name, _, ..] => unsafe { libc::execvp(*name, pointers.as_ptr()) },
        _ => return io::ErrorKind::InvalidInput.into(),
    };
    io::Error::last_os_error()
}

/// Waits for a signal.
pub(crate) fn next_signal() -> io::Result<c_int> {
    let every = every_signal();
    loop {
        // SAFETY: `every` is a valid set, and no details are asked for.
        match check(unsafe { libc::sigwaitinfo(&raw const every, std::ptr::null_mut()) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Sends `signal` to `process`; one that has ended meanwhile needs it no more.
pub(crate) fn pass_on(process: ProcessId, signal: c_int) -> io::Result<()> {
    // SAFETY: plain numbers.
    match check(unsafe { libc::kill(process.0, signal) }) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// The next process that has ended, if there is one.
pub(crate) fn next_ended() -> io::Result<Option<(ProcessId, Ended)>> {
    let mut status = 0;
    // SAFETY: the kernel fills `status`.
    let process = match check(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }) {
        Ok(0) => return Ok(None),
        Ok(process) => ProcessId(process),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
        Err(error) => return Err(error),
    };
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Killed(libc::WTERMSIG(status))
    } else {
        Ended::Exited(libc::WEXITSTATUS(status))
    };
    Ok(Some((process, ended)))
}

/// Writes to standard output.
pub(crate) fn print(text: &str) {
    write(libc::STDOUT_FILENO, text);
}

/// Writes to standard error.
pub(crate) fn print_error(text: &str) {
    write(libc::STDERR_FILENO, text);
}

fn write(file: c_int, text: &str) {
    // SAFETY: the address and the length are those of `text`. What cannot be written is lost, for
    // there is nobody to tell.
    unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
