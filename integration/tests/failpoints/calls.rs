//! Which system calls change the world: between two of these, it makes no difference where a
//! process is killed.

use std::fs;

use nix::unistd::Pid;

/// Calls that change something whatever their arguments.
const ALWAYS: &[(i64, &str)] = &[
    (libc::SYS_bind, "bind"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_fchown, "fchown"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_fsconfig, "fsconfig"),
    (libc::SYS_fsetxattr, "fsetxattr"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_kill, "kill"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_listen, "listen"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_mknodat, "mknodat"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_waitid, "waitid"),
];

/// Those that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD: &[(i64, &str)] = &[
    (libc::SYS_chmod, "chmod"),
    (libc::SYS_chown, "chown"),
    (libc::SYS_fork, "fork"),
    (libc::SYS_link, "link"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_mknod, "mknod"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_symlink, "symlink"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_vfork, "vfork"),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[(i64, &str)] = &[];

/// Writes: not those that only wake another thread of the same process.
const WRITES: &[(i64, &str)] = &[
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_pwritev, "pwritev"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
];

/// The call that `/proc/PID/syscall` tells of, with its first arguments, if it changes the world.
pub(crate) fn changing(thread: Pid, text: &str) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let arguments: Vec<u64> =
        words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let first = arguments.first().copied().unwrap_or_default();
    let known = |calls: &[(i64, &'static str)]| {
        calls.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    };
    if let Some(name) = known(ALWAYS).or_else(|| known(OLD)) {
        return Some(name.to_owned());
    }
    if let Some(name) = known(WRITES) {
        let file = fs::read_link(format!("/proc/{thread}/fd/{first}")).unwrap_or_default();
        let file = file.to_string_lossy();
        return (!file.starts_with("anon_inode:[eventfd]")).then(|| format!("{name} to {file}"));
    }
    let creates = number == libc::SYS_openat
        && arguments.get(2).is_some_and(|flags| flags & libc::O_CREAT as u64 != 0);
    creates.then(|| "openat of a new file".to_owned())
}
