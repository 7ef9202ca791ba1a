//! Filters in force. A filter belongs to a thread, so a thread stands for the container here.

use rustix::io::Errno;

use super::*;

fn profile(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

/// Compiles `json`, installs it in a thread and gives what `act` gives there.
fn under<T: Send + 'static>(json: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let program = compile(&profile(json)).unwrap();
    std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        assert!(program.install().unwrap().is_none());
        act()
    })
    .join()
    .unwrap()
}

#[test]
fn a_denied_call_fails_as_the_profile_says() {
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["getcwd", "not_yet_invented"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}]}"#;
    let (cwd, pid) = under(json, || (rustix::process::getcwd(Vec::new()), std::process::id()));
    assert_eq!(cwd, Err(Errno::PERM));
    assert!(pid > 0);
}

#[test]
fn arguments_decide() {
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
         "args": [{"index": 0, "value": 4294967295, "op": "SCMP_CMP_NE"}]},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "args": [
         {"index": 1, "value": 28, "op": "SCMP_CMP_EQ"},
         {"index": 1, "value": 255, "valueTwo": 18, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#;
    let outcomes = under(json, || {
        use nix::sys::personality::{Persona, get, set};
        use nix::sys::signal::{Signal, kill};
        let me = nix::unistd::getpid();
        (
            get().map(drop),
            set(Persona::empty()).map(drop),
            kill(me, Signal::SIGWINCH),
            kill(me, Signal::SIGCONT),
            kill(me, Signal::SIGURG),
        )
    });
    let refused = Err(nix::errno::Errno::EOPNOTSUPP);
    assert_eq!(outcomes, (Ok(()), refused, refused, refused, Ok(())));
}

#[test]
fn a_call_newer_than_the_profile_does_not_exist() {
    // Allows the calls that a thread needs to end, and names close_range (436) as its newest.
    let names = r#"["read", "write", "close", "futex", "madvise", "munmap", "mmap", "mprotect",
        "exit", "exit_group", "rt_sigprocmask", "sigaltstack", "sched_yield", "brk", "close_range",
        "rseq", "set_robust_list", "sched_getaffinity", "prctl", "rt_sigaction", "getrandom"]"#;
    let json = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64",
            "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{{"names": {names}, "action": "SCMP_ACT_ALLOW"}}]}}"#
    );
    let (old, new) = under(&json, || {
        (
            rustix::process::getcwd(Vec::new()).map(drop),
            // 437.
            rustix::fs::openat2(
                rustix::fs::CWD,
                ".",
                rustix::fs::OFlags::PATH,
                rustix::fs::Mode::empty(),
                rustix::fs::ResolveFlags::empty(),
            )
            .map(drop),
        )
    });
    assert_eq!(old, Err(Errno::PERM));
    assert_eq!(new, Err(Errno::NOSYS));
}

#[test]
fn a_supervisor_gets_a_descriptor() {
    let program = compile(&profile(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock",
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_NOTIFY"}]}"#,
    ))
    .unwrap();
    assert!(program.asks_supervisor());
    let descriptor = std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        program.install().unwrap()
    });
    assert!(descriptor.join().unwrap().is_some());
}

#[test]
fn flags_are_those_of_the_profile() {
    let of = |flags: &str| {
        let json = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW" {flags}}}"#);
        compile(&profile(&json)).unwrap().flags
    };
    assert_eq!(of(""), bpf::FLAG_SPEC_ALLOW);
    assert_eq!(of(r#", "flags": []"#), 0);
    assert_eq!(of(r#", "flags": ["SECCOMP_FILTER_FLAG_LOG"]"#), bpf::FLAG_LOG);
    assert_eq!(of(r#", "flags": ["SECCOMP_FILTER_FLAG_TSYNC"]"#), 0);
}

#[test]
fn profiles_that_make_no_sense_are_refused() {
    for (json, reason) in [
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "default action"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x",
                "syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "write syscall",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "listenerPath",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "listenerPath",
        ),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#, "errnoRet"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}"#, "errnoRet"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#,
            "argument 6",
        ),
    ] {
        let error = compile(&profile(json)).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_second_time_comes_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("cache");
    let profile = profile(
        r#"{"defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let first = compile_cached(&profile, &directory).unwrap();
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    assert_eq!(compile_cached(&profile, &directory).unwrap(), first);
    assert_eq!(compile(&profile).unwrap(), first);
}
