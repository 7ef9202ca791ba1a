//! Whole ranges of descriptors, and descriptors that a caller named by number.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// Closes every descriptor from `first` on but those `kept`.
///
/// For a process on its way to its program: what owned the others must neither be used nor dropped
/// afterwards.
pub(crate) fn close_all_from(first: RawFd, kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<libc::c_uint> =
        kept.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut from = first.cast_unsigned();
    for number in kept {
        if from < number {
            close_range(from, number - 1)?;
        }
        from = from.max(number.saturating_add(1));
    }
    close_range(from, libc::c_uint::MAX)
}

fn close_range(from: libc::c_uint, to: libc::c_uint) -> io::Result<()> {
    // SAFETY: the call takes plain numbers. The caller vouches that no owner of one of these
    // descriptors acts on it any more, so nothing can be closed twice or used for another file.
    check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })?;
    Ok(())
}

/// [`close_on_exec_from`] for kernels before 5.11, which cannot mark a range.
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

/// Another descriptor for what the caller of this program has open under `number`.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes plain numbers, and makes a new descriptor.
    let copy = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }.into())?;
    // SAFETY: the descriptor was made just now, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::clone::{Forked, Kinship, fork};
    use crate::linux::system::exit;
    use nix::sched::CloneFlags;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::{AsFd, BorrowedFd};

    /// Descriptors belong to a process, so one of its own stands for the container's here. Numbers
    /// beyond what select(2) takes are as good as others.
    #[test]
    fn what_is_not_kept_is_closed_whatever_its_number() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let high = rustix::io::fcntl_dupfd_cloexec(&file, 1500);
        let numbers: Vec<RawFd> =
            (0..4).map(|_| std::fs::File::open("/").unwrap().into()).map(into_raw).collect();
        let high = into_raw(high.unwrap());
        match fork(CloneFlags::empty(), None, Kinship::Child).unwrap() {
            Forked::Child => {
                // SAFETY: both numbers were opened above, and nothing closes them before the call.
                let kept = unsafe {
                    [BorrowedFd::borrow_raw(numbers[2]), BorrowedFd::borrow_raw(numbers[1])]
                };
                let closed = close_all_from(3, &kept);
                let open = [numbers[0], numbers[1], numbers[2], numbers[3], high].map(is_open);
                let right = closed.is_ok() && open == [false, true, true, false, false];
                exit(if right && is_open(0) { 0 } else { 1 })
            }
            Forked::Parent { pidfd, .. } => {
                let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
            }
        }
    }

    fn into_raw(fd: std::os::fd::OwnedFd) -> RawFd {
        std::os::fd::IntoRawFd::into_raw_fd(fd)
    }
}
