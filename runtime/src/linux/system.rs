//! Signals, names and the end of a process.

use super::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Ends this process at once: nothing is flushed and no exit handler runs, which a forked child
/// must not do on its parent's behalf.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// Gives signals that this program changed their default action back.
///
/// Rust's start-up code ignores SIGPIPE, and an ignored signal stays so across execve(2).
pub(crate) fn restore_default_signals() {
    // SAFETY: SIG_DFL is a valid disposition and replaces no handler of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Has this process end when it is asked to, by one of the signals that ask. The first process of a
/// pid namespace does so only by a handler of its own; execve(2) takes the handlers away again.
pub(crate) fn end_on_request() -> io::Result<()> {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit may be called in a signal handler, does not return and touches no memory.
        unsafe { libc::_exit(128 + signal) }
    }
    let end: extern "C" fn(libc::c_int) = end;
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: all bytes zero are a valid sigaction: no flags, an empty mask, SIG_DFL.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel only writes the present action to a valid place.
        check(unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) }.into())?;
        if action.sa_sigaction == libc::SIG_IGN {
            // The caller's wish, which the program inherits.
            continue;
        }
        action.sa_sigaction = end as libc::sighandler_t;
        // SAFETY: the handler is a function of the C calling convention that takes the signal's
        // number, as SA_SIGINFO is not set, and lives as long as the program.
        check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }.into())?;
    }
    Ok(())
}

/// What the signal number `signal` means, in lower case (`bad system call`).
pub(crate) fn signal_name(signal: i32) -> String {
    // SAFETY: strsignal returns null or a C string that lives until its next call. It is copied
    // before that, and the program has one thread.
    let name = unsafe {
        let name = libc::strsignal(signal);
        match name.is_null() {
            true => return format!("number {signal}"),
            false => CStr::from_ptr(name),
        }
    };
    name.to_string_lossy().to_lowercase()
}

/// Sets the NIS domain name of this process's UTS namespace.
pub(crate) fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes from a string that has as many.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}

/// Sets the execution domain (personality(2)) to what `bits` says.
pub(crate) fn set_personality(bits: u64) -> io::Result<()> {
    // SAFETY: the call takes a plain number.
    check(unsafe { libc::syscall(libc::SYS_personality, bits) })?;
    Ok(())
}

/// Sends the signal number `signal` to the process behind `pidfd`; 0 sends none but still checks.
pub(crate) fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes a descriptor, plain numbers and no siginfo.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })?;
    Ok(())
}

/// The name by which the kernel was asked to execute this program.
pub(crate) fn executed_name() -> &'static CStr {
    // SAFETY: getauxval reads the vector that the kernel put on this process's stack. Its AT_EXECFN
    // entry is the address of a C string there, which lives as long as the process.
    unsafe {
        match libc::getauxval(libc::AT_EXECFN) {
            0 => c"",
            address => CStr::from_ptr(address as *const libc::c_char),
        }
    }
}
