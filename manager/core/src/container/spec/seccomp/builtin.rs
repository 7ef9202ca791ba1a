//! The built-in profile: what docker's default profile allows and refuses.
//!
//! It is a list of what is allowed; anything else fails with EPERM. Where a call is allowed for
//! some arguments only, or for who has a capability, the reason stands beside it.

use std::sync::OnceLock;

use super::super::document::Argument;
use super::profile::{Architecture, Filter, Profile, Rule};

/// Calls that are always allowed.
const ALLOWED: &str = "\
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir \
chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 \
clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect \
copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod \
fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock \
fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate \
ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat \
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid \
geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid \
getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage \
getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat \
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy \
io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set \
ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 \
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek \
lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore \
mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify \
mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink \
mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at \
nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 \
pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 \
prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead \
readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages \
removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq \
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max \
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list \
set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 \
setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr \
setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask \
sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink \
symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete \
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create \
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate \
truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 \
utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Calls that come with a capability: with it, the kernel's own check is the limit.
const WITH_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Calls that only some processors have.
const WITH_PROCESSOR: [(&[&str], &str); 5] = [
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&["s390", "s390x"], "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    (&["riscv64"], "riscv_flush_icache"),
];

/// Processors, each with those whose programs it runs too.
const ARCHITECTURES: [(&str, &[&str]); 4] = [
    ("SCMP_ARCH_X86_64", &["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
    ("SCMP_ARCH_AARCH64", &["SCMP_ARCH_ARM"]),
    ("SCMP_ARCH_S390X", &["SCMP_ARCH_S390"]),
    ("SCMP_ARCH_RISCV64", &[]),
];

/// What personality(2) may set: Linux, Linux with 32-bit uname, both without address
/// randomisation's legacy layout, and the query.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The kernel's crypto by socket. Its bugs are reachable without any privilege.
const AF_ALG: u64 = libc::AF_ALG as u64;
/// Sockets to the hypervisor, which no network namespace confines.
const AF_VSOCK: u64 = libc::AF_VSOCK as u64;

/// The flags of clone(2) that make namespaces.
const NEW_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;

const ALLOW: &str = "SCMP_ACT_ALLOW";
const FAIL: &str = "SCMP_ACT_ERRNO";
const EQUAL: &str = "SCMP_CMP_EQ";
const LESS: &str = "SCMP_CMP_LT";
const MASKED_EQUAL: &str = "SCMP_CMP_MASKED_EQ";

/// The built-in profile.
pub(crate) fn builtin() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(make)
}

fn make() -> Profile {
    let mut syscalls = vec![allow(ALLOWED)];
    syscalls.extend(sockets());
    syscalls.extend(PERSONALITIES.map(|value| allow_if("personality", 0, EQUAL, value, 0)));
    syscalls.extend(WITH_PROCESSOR.map(|(processors, names)| Rule {
        includes: Filter { arches: words(&processors.join(" ")), ..Filter::default() },
        ..allow(names)
    }));
    syscalls.extend(
        WITH_CAPABILITY.map(|(name, names)| Rule { includes: capability(name), ..allow(names) }),
    );
    syscalls.push(tracing());
    syscalls.extend(clones());
    Profile {
        default_action: FAIL.to_owned(),
        default_errno_ret: u32::try_from(libc::EPERM).ok(),
        arch_map: ARCHITECTURES
            .map(|(name, also)| Architecture {
                architecture: name.to_owned(),
                sub_architectures: words(&also.join(" ")),
            })
            .to_vec(),
        syscalls,
        ..Profile::default()
    }
}

/// socket(2) for every family but two. A filter can't say "none of these" in one rule, so what is
/// below, between and above (up to 255) is allowed. The kernel looks at the lower half of the
/// argument only, a filter at all of it: each rule asks for an upper half of zeroes, or a family
/// that is refused would pass for a very high one. socketcall(2), the only way to sockets of old 32-bit
/// programs, has its arguments in memory where no filter sees them; it stays allowed.
fn sockets() -> [Rule; 8] {
    // The families from `first` on whose number differs in the last `bits` bits at most.
    let block = |first, bits: u32| allow_if("socket", 0, MASKED_EQUAL, !0_u64 << bits, first);
    [
        allow_if("socket", 0, LESS, AF_ALG, 0),
        allow_if("socket", 0, EQUAL, AF_ALG + 1, 0),
        allow_if("socket", 0, EQUAL, AF_VSOCK + 1, 0),
        block(42, 1),
        block(44, 2),
        block(48, 4),
        block(64, 6),
        block(128, 7),
    ]
}

/// Debuggers work, except on kernels before 4.8, where tracing was a way past the filter itself.
fn tracing() -> Rule {
    let includes = Filter { min_kernel: Some("4.8".to_owned()), ..Filter::default() };
    Rule { includes, ..allow("process_vm_readv process_vm_writev ptrace") }
}

/// Without CAP_SYS_ADMIN, clone(2) makes no namespaces. clone3(2) has its flags in memory where no
/// filter sees them, so it says that it doesn't exist, and libraries fall back to clone(2).
fn clones() -> [Rule; 3] {
    let without_admin =
        |also_without: &str| Filter { arches: words(also_without), ..capability("CAP_SYS_ADMIN") };
    let clone = |argument| allow_if("clone", argument, MASKED_EQUAL, NEW_NAMESPACES, 0);
    [
        Rule { excludes: without_admin("s390 s390x"), ..clone(0) },
        // On s390 the first two arguments are exchanged.
        Rule {
            includes: Filter { arches: words("s390 s390x"), ..Filter::default() },
            excludes: without_admin(""),
            ..clone(1)
        },
        Rule {
            action: FAIL.to_owned(),
            errno_ret: u32::try_from(libc::ENOSYS).ok(),
            excludes: without_admin(""),
            ..allow("clone3")
        },
    ]
}

fn capability(name: &str) -> Filter {
    Filter { caps: vec![name.to_owned()], ..Filter::default() }
}

fn allow(names: &str) -> Rule {
    Rule { names: words(names), action: ALLOW.to_owned(), ..Rule::default() }
}

fn allow_if(name: &str, index: u32, op: &str, value: u64, value_two: u64) -> Rule {
    Rule { args: vec![Argument { index, value, value_two, op: op.to_owned() }], ..allow(name) }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::document::{Seccomp, Syscall};
    use super::super::profile::Conditions;
    use super::*;

    fn filter(capabilities: &[&'static str]) -> Seccomp {
        let conditions = Conditions { capabilities, processor: "amd64", kernel: (6, 1) };
        builtin().resolve(&conditions).unwrap()
    }

    fn rules<'a>(filter: &'a Seccomp, name: &str) -> Vec<&'a Syscall> {
        filter.syscalls.iter().filter(|call| call.names.iter().any(|n| n == name)).collect()
    }

    #[test]
    fn each_call_is_listed_once() {
        let mut names = words(ALLOWED);
        assert_eq!(names.len(), 361);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 361);
    }

    #[test]
    fn what_changes_the_host_needs_its_capability() {
        let plain = filter(&["CAP_CHOWN"]);
        for name in ["mount", "unshare", "bpf", "init_module", "reboot", "syslog", "open_tree"] {
            assert!(rules(&plain, name).is_empty(), "{name}");
        }
        for name in
            ["keyctl", "add_key", "userfaultfd", "io_uring_setup", "kexec_load", "nfsservctl"]
        {
            assert!(rules(&filter(&super::super::super::capabilities::ALL), name).is_empty());
        }
        let admin = filter(&["CAP_SYS_ADMIN"]);
        assert_eq!(rules(&admin, "mount").len(), 1);
        assert!(rules(&admin, "clone3").iter().all(|rule| rule.action == ALLOW));
    }

    #[test]
    fn clone_makes_no_namespaces_and_clone3_does_not_exist() {
        let plain = filter(&[]);
        let clone = rules(&plain, "clone");
        assert_eq!(clone.len(), 1);
        assert_eq!(clone[0].args[0].value, 0x7e02_0000);
        let clone3 = rules(&plain, "clone3");
        assert_eq!((clone3.len(), clone3[0].errno_ret), (1, Some(38)));
    }

    #[test]
    fn two_families_of_sockets_are_refused() {
        let plain = filter(&[]);
        let allowed = |family: u64| {
            rules(&plain, "socket").iter().any(|rule| match rule.args[0].op.as_str() {
                LESS => family < rule.args[0].value,
                EQUAL => family == rule.args[0].value,
                _ => family & rule.args[0].value == rule.args[0].value_two,
            })
        };
        for family in 0..256 {
            assert_eq!(allowed(family), family != 38 && family != 40, "{family}");
            // What the kernel takes for the same family.
            assert!(!allowed(family | 1 << 32) && !allowed(family | !0 << 32), "{family}");
        }
        assert_eq!(rules(&plain, "socketcall").len(), 1);
        assert!(rules(&plain, "socketcall")[0].args.is_empty());
    }

    #[test]
    fn programs_of_32_bits_are_filtered_too() {
        let architectures = filter(&[]).architectures;
        assert_eq!(architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    }
}
