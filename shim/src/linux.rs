//! The only unsafe code of this program: calls for which no safe wrapper exists.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// On which side of a [`fork`] the caller is.
pub(crate) enum Fork {
    /// The process that called.
    Parent,
    /// Its new copy.
    Child,
}

/// Splits the process in two. The caller has started no thread yet, or the child could meet locks
/// (the allocator's, say) that a thread held and no one in the child will release; with a thread
/// about, this fails instead.
pub(crate) fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("fork: this process has more than one thread"));
    }
    // SAFETY: the process is single-threaded (checked above, and only this thread could start
    // another), so the child's copy of memory is consistent and it may do what the parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        _ => Ok(Fork::Parent),
    }
}

/// Signals that whoever started this program ignored are as usual again: an ignored signal stays so
/// across execve(2), and what a container ignores must not depend on how its manager was started.
/// SIGPIPE is for Rust to see to, here and in the programs that this one runs.
pub(crate) fn forget_ignored_signals() {
    for number in (1..=libc::SIGRTMAX()).filter(|number| *number != libc::SIGPIPE) {
        // SAFETY: all bytes zero are a valid sigaction: no flags, an empty mask, SIG_DFL.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel only writes the present action to a valid place.
        let known = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            // SAFETY: SIG_DFL is a valid disposition, and there is no handler that it replaces.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
    }
}

/// Gives the calling thread a working directory of its own.
pub(crate) fn have_own_directory() -> rustix::io::Result<()> {
    // SAFETY: what is no longer shared is the working directory, the root and the umask; no
    // descriptor and no memory is, so nothing that another thread relies on changes.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }
}

/// Closes every descriptor from `first` on, whoever left it open for us: a server that outlives
/// its caller must not keep the caller's pipes open. To be called once, before this program has
/// opened anything itself.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: nothing in this program owns a descriptor yet but 0, 1, 2 and what `take_inherited`
    // took, which are all below `first`.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if done == 0 {
        return Ok(());
    }
    // Kernels and sandboxes without the call.
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd >= first) {
        // SAFETY: as above. The directory's own descriptor is closed already: that is EBADF.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Takes over the descriptors 3 to 3 + `count` - 1 that the caller of this program left open
/// for it (see sd_listen_fds(3)), and keeps them from the programs that this one runs. Numbers that
/// aren't open are left out. To be called once, before this program has opened anything itself.
pub(crate) fn take_inherited(count: u16) -> Vec<OwnedFd> {
    (3..3 + RawFd::from(count))
        // SAFETY: this sets a flag of a descriptor; for a closed number it answers EBADF.
        .filter(|fd| unsafe { libc::fcntl(*fd, libc::F_SETFD, libc::FD_CLOEXEC) } != -1)
        // SAFETY: the descriptor is open (just checked), and nothing in this program owns it: it was
        // inherited, and this program has opened nothing before this call.
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}

/// Has the program that `command` will run be killed when this process dies: nobody would wait for
/// it, and whoever cleans up after us must not race with it.
pub(crate) fn end_with_us(command: &mut Command) {
    let ask = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec, `ask` makes one system call; it allocates nothing and takes no
    // lock.
    unsafe { command.pre_exec(ask) };
}

/// Has the program that `command` will run begin with this oom_score_adj instead of ours.
pub(crate) fn set_oom_score(command: &mut Command, score: &'static str) {
    let set = move || {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty())?;
        rustix::io::write(file, score.as_bytes())?;
        Ok(())
    };
    // SAFETY: between fork and exec, `set` makes system calls only; it allocates nothing and takes
    // no lock.
    unsafe { command.pre_exec(set) };
}

/// Sends the signal of this number, real-time ones included, to the process that `process` is a
/// pidfd of.
pub(crate) fn send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open while it is borrowed, and a null `info` is what the call takes
    // for a plain kill; it touches no other memory of ours.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0)
    };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the clock on the wall shows at `unix_seconds`, where this machine is: month (from 0 on), day,
/// hour, minute, second. `None` for times that no calendar has.
pub(crate) fn local_time(unix_seconds: i64) -> Option<[i32; 5]> {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right types; the call writes the second only,
    // and its result is a `tm` however much of it was written, since it began as zeroes.
    let parts = unsafe {
        if libc::localtime_r(&unix_seconds, parts.as_mut_ptr()).is_null() {
            return None;
        }
        parts.assume_init()
    };
    Some([parts.tm_mon, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec])
}

/// Has all threads take their memory from one heap: those that write logs are no trouble to each
/// other, and each heap more would keep some of its own.
pub(crate) fn use_one_heap() {
    // SAFETY: this sets a number in the allocator, which the allocator itself guards.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives the pages that the allocator keeps, but that nothing is in, back to the kernel.
pub(crate) fn give_back_memory() {
    // SAFETY: only pages that nothing is in are given back, under the allocator's own lock.
    unsafe { libc::malloc_trim(0) };
}

/// Has the event loop watch a descriptor, which is in non-blocking mode.
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and the
    // `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// Gives the calling thread mounts of its own, and a working directory.
pub(crate) fn have_own_mounts() -> rustix::io::Result<()> {
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: neither a mount namespace nor a thread's own working directory is memory, nor do they
    // change any descriptor.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }
}

/// What the calling thread makes belongs to the user and group from here on. It loses rights by that.
pub(crate) fn make_files_as(uid: u32, gid: u32) {
    // SAFETY: the calls take numbers, and change the calling thread alone.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

/// What mount_setattr(2) changes of a mount (`struct mount_attr`).
#[repr(C)]
struct MountChange {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: u64,
}

/// Maps the ids of what the mount shows that is open with its root, and attached nowhere, as the user
/// namespace does; of those upon it too if `all`.
pub(crate) fn map_mount(
    mount: BorrowedFd<'_>,
    user: BorrowedFd<'_>,
    all: bool,
) -> rustix::io::Result<()> {
    /// MOUNT_ATTR_IDMAP.
    const ID_MAP: u64 = 0x0010_0000;
    let namespace = u64::try_from(user.as_raw_fd()).map_err(|_| rustix::io::Errno::BADF)?;
    let change = MountChange { set: ID_MAP, clear: 0, propagation: 0, namespace };
    let depth = if all { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptors are open, the path is an empty string that ends with its NUL, and the
    // kernel reads no more of `change` than the size that it is told.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | depth,
            &raw const change,
            size_of::<MountChange>(),
        )
    };
    if outcome == 0 {
        return Ok(());
    }
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(rustix::io::Errno::from_raw_os_error(errno))
}
