//! The system calls that uncompressing and unpacking make; none else is there.
//!
//! What is refused is as if the kernel did not have it. None of these reaches another process, not
//! even one of the same user by a signal or as the owner of a descriptor, and none starts a thread.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::error::{Error, Result};

/// Bytes from one pipe to another, memory that can't be run, and an end.
const ALWAYS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
];

/// Those on files that every architecture has.
const ON_FILES: &[libc::c_long] = &[
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_copy_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_sync_file_range,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    // The line to the manager.
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
];

/// What fcntl may do: nothing about signals, owners or leases.
const OF_DESCRIPTORS: &[libc::c_int] =
    &[libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Lets this thread, the only one, make the calls of unpacking alone.
pub(super) fn for_unpacking() -> Result<()> {
    install(|rules| {
        rules.extend(ON_FILES.iter().map(|call| (*call, vec![])));
        let commands = OF_DESCRIPTORS.iter().map(|command| {
            let command = u64::from(command.unsigned_abs());
            SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, command)?])
        });
        rules.insert(libc::SYS_fcntl, commands.collect::<Result<_, _>>()?);
        Ok(())
    })
}

/// Lets this thread, the only one, make the calls of uncompressing alone.
pub(super) fn for_uncompressing() -> Result<()> {
    install(|_| Ok(()))
}

fn install(add: impl FnOnce(&mut Rules) -> Result<(), BackendError>) -> Result<()> {
    let build = || -> Result<(), seccompiler::Error> {
        let mut rules: Rules = ALWAYS.iter().map(|call| (*call, vec![])).collect();
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            let executable = libc::PROT_EXEC.unsigned_abs().into();
            let never = condition(2, SeccompCmpOp::MaskedEq(executable), 0)?;
            rules.insert(call, vec![SeccompRule::new(vec![never])?]);
        }
        add(&mut rules)?;
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
            SeccompAction::Allow,
            std::env::consts::ARCH.try_into()?,
        )?;
        let program: seccompiler::BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)
    };
    build().map_err(|error| Error::system(format!("fence in what reads a layer: seccomp: {error}")))
}

/// The kernel, too, looks at the lower half of these arguments only.
fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}
