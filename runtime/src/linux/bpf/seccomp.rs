//! seccomp(2): installing a filter of system calls.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Log what the filter does, except for what it allows.
pub(crate) const FLAG_LOG: u32 = 1 << 1;
/// Do not slow the process down against speculative store bypass.
pub(crate) const FLAG_SPEC_ALLOW: u32 = 1 << 2;
/// Return a descriptor on which a supervisor is asked about system calls.
pub(crate) const FLAG_NEW_LISTENER: u32 = 1 << 3;
/// A process that waits for its supervisor's answer can only be interrupted by SIGKILL.
pub(crate) const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// One instruction of classic BPF, laid out as `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    /// Class, operation and mode.
    pub(crate) code: u16,
    /// How many instructions to skip if the test is true.
    pub(crate) if_true: u8,
    /// How many to skip if it is false.
    pub(crate) if_false: u8,
    /// The constant.
    pub(crate) value: u32,
}

/// Puts `filter` in force for this thread and all that it starts from now on; with
/// `FLAG_NEW_LISTENER`, returns the descriptor for the supervisor.
///
/// # Errors
/// seccomp(2)'s: `EACCES` without `CAP_SYS_ADMIN` or `no_new_privs`, `EINVAL` for a filter or flag
/// that this kernel does not take.
pub(crate) fn install(filter: &[Instruction], flags: u32) -> io::Result<Option<OwnedFd>> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `program` names `len` instructions of the layout of `struct sock_filter`, which
    // outlive the call; the kernel copies them and writes to none.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: with SECCOMP_FILTER_FLAG_NEW_LISTENER a successful call returns a new descriptor
    // that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}
