//! `tare-init` as a container's first process, and as an ordinary one.
#![allow(clippy::unwrap_used)] // The helpers of a test may stop it, like the test itself.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const INIT: &str = env!("CARGO_BIN_EXE_tare-init");

fn init(arguments: &[&str]) -> Output {
    Command::new(INIT).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn shell(script: &str) -> Output {
    init(&["--", "sh", "-c", script])
}

#[test]
fn it_ends_as_the_command_does() {
    assert_eq!(shell("exit 0").status.code(), Some(0));
    assert_eq!(shell("exit 37").status.code(), Some(37));
    assert_eq!(shell("kill -TERM $$").status.code(), Some(128 + 15));
    assert_eq!(shell("kill -KILL $$").status.code(), Some(128 + 9));
    assert_eq!(init(&["sh", "-c", "exit 5"]).status.code(), Some(5), "the dashes may be left out");
    assert_eq!(init(&["--", "printf", "%s", "--version"]).stdout, b"--version");
}

#[test]
fn a_command_that_cannot_run_is_told_apart() {
    let missing = init(&["--", "no-such-command"]);
    assert_eq!(missing.status.code(), Some(127));
    let text = String::from_utf8(missing.stderr).unwrap();
    assert!(text.starts_with("tare-init: exec no-such-command failed: No such file"), "{text}");
    assert_eq!(init(&["--", "/etc/passwd"]).status.code(), Some(126));
    assert_eq!(init(&["--", "/"]).status.code(), Some(126));
}

#[test]
fn its_own_options() {
    let version = init(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("tare-init "));
    assert!(init(&["--help"]).status.success());
    for arguments in [&["--unknown"][..], &[], &["--"]] {
        let refused = init(arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8(refused.stderr).unwrap().contains("Usage:"));
    }
}

/// Starts `script` and waits until it says that it is ready.
fn start(script: &str) -> Child {
    let mut child = Command::new(INIT)
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn signals_reach_the_command() {
    use rustix::process::Signal;
    for (sent, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::USR1, "USR1"),
        (Signal::WINCH, "WINCH"),
        (Signal::QUIT, "QUIT"),
    ] {
        let script = format!("trap 'exit 42' {name}; echo; while :; do sleep 0.05; done");
        let mut child = start(&script);
        signal(&child, sent);
        assert_eq!(child.wait().unwrap().code(), Some(42), "{name}");
    }
}

#[test]
fn the_command_gets_its_signals_as_they_were() {
    let status = shell("cat /proc/self/status; ps -o pgid= -p $$; echo $$").stdout;
    let text = String::from_utf8(status).unwrap();
    for (line, empty) in [("SigBlk", true), ("SigIgn", true)] {
        let value = text.lines().find_map(|found| found.strip_prefix(&format!("{line}:\t")));
        // A test harness may itself ignore or hold signals, but none of those that init touches.
        let mask = u64::from_str_radix(value.unwrap(), 16).unwrap();
        let touched =
            1 << (libc::SIGTTIN - 1) | 1 << (libc::SIGTTOU - 1) | 1 << (libc::SIGTERM - 1);
        assert_eq!(mask & touched == 0, empty, "{line} {mask:x}");
    }
    let mut last = text.lines().rev().map(str::trim);
    let (pid, group) = (last.next().unwrap(), last.next().unwrap());
    assert_eq!(pid, group, "a process group of its own");
}

#[test]
fn orphans_are_collected() {
    // The inner shell ends at once and leaves its sleep behind.
    let mut child = start("(sleep 1 & exit 0); echo; exec sleep 600");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let count = || std::fs::read_to_string(&children).unwrap().split_whitespace().count();
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut most = 0;
    loop {
        let now = count();
        most = most.max(now);
        if most == 2 && now == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the orphan came ({most}) and was collected ({now})");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, rustix::process::Signal::TERM);
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(128 + 15), None));
}

#[test]
fn as_the_first_process_of_a_pid_namespace() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let inside = |script: &str| {
        Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", INIT, "--", "sh", "-c", script])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let first = inside("cat /proc/1/comm; exit 9");
    assert_eq!(first.stdout, b"tare-init\n");
    assert_eq!(first.status.code(), Some(9));
    // The kernel drops signals to a first process that holds no handler; this one passes them on.
    assert_eq!(
        inside("trap 'exit 44' TERM; kill -TERM 1; while :; do sleep 0.05; done").status.code(),
        Some(44)
    );
    // What is left behind ends with it.
    let begin = Instant::now();
    inside("sleep 600 & exit 0");
    assert!(begin.elapsed() < Duration::from_secs(200));
}
