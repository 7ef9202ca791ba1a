//! Whole ranges of descriptors, and descriptors that a caller named by number.

use super::check;
use std::io;
use std::os::fd::RawFd;

/// Marks every descriptor from `first` on to be closed when a program is executed.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: the call takes plain numbers and, with this flag, closes nothing now.
    let marked = check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    });
    match marked {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            mark_one_by_one(first)
        }
        other => other.map(|_| ()),
    }
}

/// The same for kernels before 5.11, which cannot mark a range.
fn mark_one_by_one(first: RawFd) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|text| text.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number >= first) {
            // SAFETY: fcntl with F_SETFD changes a flag of the descriptor, if it is open.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Lets the descriptor `number` stay open across execve(2).
pub(crate) fn keep_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: fcntl with F_SETFD changes a flag of the descriptor, or fails if it is not open.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into())?;
    Ok(())
}

/// Whether a descriptor with this number is open.
pub(crate) fn is_open(number: RawFd) -> bool {
    // SAFETY: fcntl with F_GETFD only reads a flag.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Copies the open descriptor `from` onto the number `to`, which a program inherits.
pub(crate) fn place(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: dup2 replaces descriptor `to`. Only the standard streams are replaced this way, and
    // this program owns no value that stands for them.
    check(unsafe { libc::dup2(from, to) }.into())?;
    Ok(())
}
