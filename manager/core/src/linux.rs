//! The only unsafe code of `tared`: calls for which no safe wrapper exists, about quotas of
//! projects, attributes of mounts, when files are written to the disk, memory that is free, and
//! processes that do nothing but make namespaces.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use rustix::io::Errno;
use rustix::ioctl::{Getter, Setter, ioctl, opcode};
use rustix::mount::MountAttrFlags;
use rustix::pipe::{PipeFlags, pipe_with};

/// What mount_setattr(2) changes of a mount (`struct mount_attr`).
#[repr(C)]
struct MountChange {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: u64,
}

/// What the kernel knows of a file beside what stat(2) tells (`struct fsxattr`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

const GET_ATTRIBUTES: rustix::ioctl::Opcode = opcode::read::<Attributes>(b'X', 31);
const SET_ATTRIBUTES: rustix::ioctl::Opcode = opcode::write::<Attributes>(b'X', 32);
/// What is made in the directory belongs to its project.
const INHERITS_PROJECT: u32 = 0x200;

/// The kind of quota that is of a project, as quotactl(2) numbers it.
const OF_PROJECT: u32 = 2;
/// The command that tells what a file system counts and limits.
const GET_STATE: u32 = 0x5805;
/// The limits of projects are enforced.
const ENFORCED: u16 = 1 << 5;
/// Bytes of a block in which limits are given.
const BLOCK: u64 = 1024;

/// What a project uses, and what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) files: u64,
    /// In bytes; 0: anything.
    pub(crate) limit: u64,
}

/// Gives the pages that the allocator keeps, but that nothing is in, back to the kernel.
pub(crate) fn give_back_memory() {
    // SAFETY: only pages that nothing is in are given back, under the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

/// The project that the open file or directory belongs to.
pub(crate) fn project(file: BorrowedFd<'_>) -> rustix::io::Result<u32> {
    Ok(attributes(file)?.project)
}

/// Puts the open directory into a project, with all that will be made in it.
pub(crate) fn set_project(directory: BorrowedFd<'_>, project: u32) -> rustix::io::Result<()> {
    let known = attributes(directory)?;
    let flags = known.flags | INHERITS_PROJECT;
    set_attributes(directory, Attributes { project, flags, ..known })
}

/// Takes the open directory out of its project, with all that will be made in it.
pub(crate) fn leave_project(directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let known = attributes(directory)?;
    let flags = known.flags & !INHERITS_PROJECT;
    set_attributes(directory, Attributes { project: 0, flags, ..known })
}

fn set_attributes(file: BorrowedFd<'_>, wanted: Attributes) -> rustix::io::Result<()> {
    // SAFETY: the opcode is that of FS_IOC_FSSETXATTR, which reads one `Attributes` and nothing else.
    unsafe { ioctl(file, Setter::<SET_ATTRIBUTES, Attributes>::new(wanted)) }
}

fn attributes(file: BorrowedFd<'_>) -> rustix::io::Result<Attributes> {
    // SAFETY: the opcode is that of FS_IOC_FSGETXATTR, which fills one `Attributes`; any bytes are
    // a valid one.
    unsafe { ioctl(file, Getter::<GET_ATTRIBUTES, Attributes>::new()) }
}

/// Whether the file system that the open file is on limits what projects use.
pub(crate) fn limits_projects(file: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    // `struct fs_quota_stat` is 80 bytes; its flags are the second pair of bytes.
    let mut state = [0_u64; 32];
    // SAFETY: the kernel writes no more than a `struct fs_quota_stat` there, which is shorter.
    unsafe { quotactl(file, GET_STATE, 0, state.as_mut_ptr().cast()) }?;
    let [_, _, low, high, ..] = state[0].to_ne_bytes();
    Ok(u16::from_ne_bytes([low, high]) & ENFORCED != 0)
}

/// Has the kernel begin to write a part of the open file to the disk, and waits for none of it.
pub(crate) fn begin_writing(
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> rustix::io::Result<()> {
    let part = i64::try_from(offset).and_then(|offset| Ok((offset, i64::try_from(length)?)));
    let (offset, length) = part.map_err(|_| Errno::INVAL)?;
    let begin = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: the descriptor is open, and the call takes nothing else but numbers.
    let outcome = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, begin) };
    if outcome == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(errno))
}

/// What a project uses and may use on the file system that the open file is on.
pub(crate) fn quota(file: BorrowedFd<'_>, project: u32) -> rustix::io::Result<Quota> {
    let mut quota = no_quota();
    // SAFETY: the kernel writes one `struct if_dqblk` there, which `libc::dqblk` is.
    let asked = unsafe {
        quotactl(file, libc::Q_GETQUOTA.cast_unsigned(), project, (&raw mut quota).cast())
    };
    match asked {
        // Nobody has heard of it.
        Err(Errno::NOENT) => Ok(Quota { files: 0, limit: 0 }),
        outcome => outcome.map(|()| Quota {
            files: quota.dqb_curinodes,
            limit: quota.dqb_bhardlimit.saturating_mul(BLOCK),
        }),
    }
}

/// Limits what a project may use, in bytes; 0: anything.
pub(crate) fn set_limit(file: BorrowedFd<'_>, project: u32, limit: u64) -> rustix::io::Result<()> {
    let blocks = limit.div_ceil(BLOCK);
    let mut quota = libc::dqblk {
        dqb_bhardlimit: blocks,
        dqb_bsoftlimit: blocks,
        dqb_valid: libc::QIF_BLIMITS,
        ..no_quota()
    };
    // SAFETY: the kernel reads one `struct if_dqblk` there, which `libc::dqblk` is.
    unsafe { quotactl(file, libc::Q_SETQUOTA.cast_unsigned(), project, (&raw mut quota).cast()) }
}

fn no_quota() -> libc::dqblk {
    libc::dqblk {
        dqb_bhardlimit: 0,
        dqb_bsoftlimit: 0,
        dqb_curspace: 0,
        dqb_ihardlimit: 0,
        dqb_isoftlimit: 0,
        dqb_curinodes: 0,
        dqb_btime: 0,
        dqb_itime: 0,
        dqb_valid: 0,
    }
}

/// quotactl_fd(2), of Linux 5.14 and later.
///
/// # Safety
/// `argument` must be what `command` reads or fills.
unsafe fn quotactl(
    file: BorrowedFd<'_>,
    command: u32,
    project: u32,
    argument: *mut libc::c_void,
) -> rustix::io::Result<()> {
    let command = (command << 8) | OF_PROJECT;
    // SAFETY: the descriptor is open, and the caller vouches for the argument.
    let outcome = unsafe {
        libc::syscall(libc::SYS_quotactl_fd, file.as_raw_fd(), command, project, argument)
    };
    result(outcome)
}

/// Gives the mount that is open with its root more attributes.
pub(crate) fn add_mount_attributes(
    mount: BorrowedFd<'_>,
    attributes: MountAttrFlags,
) -> rustix::io::Result<()> {
    let set = u64::from(attributes.bits());
    change_mount(mount, &MountChange { set, clear: 0, propagation: 0, namespace: 0 })
}

/// Maps the ids of what the mount shows that is open with its root, and attached nowhere, as the user
/// namespace does.
pub(crate) fn map_mount(mount: BorrowedFd<'_>, user: BorrowedFd<'_>) -> rustix::io::Result<()> {
    /// MOUNT_ATTR_IDMAP.
    const ID_MAP: u64 = 0x0010_0000;
    let namespace = u64::try_from(user.as_raw_fd()).map_err(|_| Errno::BADF)?;
    change_mount(mount, &MountChange { set: ID_MAP, clear: 0, propagation: 0, namespace })
}

fn change_mount(mount: BorrowedFd<'_>, change: &MountChange) -> rustix::io::Result<()> {
    // SAFETY: the descriptor is open, the path is an empty string that ends with its NUL, and the
    // kernel reads no more of `change` than the size that it is told.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(change),
            size_of::<MountChange>(),
        )
    };
    result(outcome)
}

fn result(outcome: libc::c_long) -> rustix::io::Result<()> {
    if outcome == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(errno))
}

/// A process that is in new namespaces and does nothing, until this is dropped.
pub(crate) struct Keeper {
    pid: libc::pid_t,
    /// Ends the process when it is closed.
    hold: Option<OwnedFd>,
}

impl Keeper {
    /// Starts it: it joins the user namespace `user`, if there is one, and makes those of `kinds`.
    ///
    /// # Errors
    /// Those of fork(2), setns(2) and unshare(2).
    pub(crate) fn start(user: Option<BorrowedFd<'_>>, kinds: CloneFlags) -> io::Result<Self> {
        let user = user.map_or(-1, |user| user.as_raw_fd());
        let (told, tells) = pipe_with(PipeFlags::CLOEXEC)?;
        let (waits, hold) = pipe_with(PipeFlags::CLOEXEC)?;
        let (tells_at, waits_at) = (tells.as_raw_fd(), waits.as_raw_fd());
        // SAFETY: the child has a copy of this thread alone. It calls `keep`, which only makes system
        // calls, allocates nothing, takes no locks, and never returns.
        let pid = match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            // SAFETY: this is the child, and the descriptors are open in it as they are here.
            0 => unsafe { keep(user, kinds.bits(), tells_at, waits_at) },
            pid => pid,
        };
        drop(tells);
        let keeper = Self { pid, hold: Some(hold) };
        let mut answer = [0_u8; 4];
        std::fs::File::from(told)
            .read_exact(&mut answer)
            .map_err(|error| io::Error::new(error.kind(), "the process has died"))?;
        match i32::from_ne_bytes(answer) {
            0 => Ok(keeper),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Its id.
    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.hold.take());
        let mut status = 0;
        // SAFETY: the kernel writes one integer there. The process is our child, and nobody else waits
        // for it.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// What a keeper's process does: it says how its namespaces came out, and waits. It keeps nothing else
/// open: two of them would wait for each other's end.
///
/// # Safety
/// The caller is a child that has just been forked, and these are descriptors of its own.
unsafe fn keep(user: i32, kinds: i32, tells: i32, waits: i32) -> ! {
    // SAFETY: system calls about descriptors and namespaces, and `errno`, which is this thread's own;
    // what is written and read are single integers on this stack.
    unsafe {
        let failed = (user != -1 && libc::setns(user, libc::CLONE_NEWUSER) == -1)
            || libc::unshare(kinds) == -1;
        let errno: i32 = if failed { *libc::__errno_location() } else { 0 };
        let (first, second) = (tells.min(waits), tells.max(waits));
        for (from, to) in [(0, first - 1), (first + 1, second - 1), (second + 1, i32::MAX)] {
            if from <= to {
                libc::syscall(libc::SYS_close_range, from, to, 0);
            }
        }
        libc::write(tells, (&raw const errno).cast(), size_of::<i32>());
        let mut byte = 0_u8;
        while libc::read(waits, (&raw mut byte).cast(), 1) == -1
            && *libc::__errno_location() == libc::EINTR
        {}
        libc::_exit(0)
    }
}
