//! System calls that a profile is about, seen from inside.

use crate::bundle::Bundle;
use serde_json::{Value, json};

/// A bundle in which a shell tells how a program ended that makes a directory, under `action`.
fn making_a_directory(action: &str, new_privileges: bool) -> Bundle {
    let mut bundle = Bundle::script("busybox mkdir /tmp/made; echo $?");
    bundle.edit(|config| {
        config["root"]["readonly"] = false.into();
        config["process"]["noNewPrivileges"] = new_privileges.into();
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": action }],
        });
    });
    bundle
}

#[test]
fn every_action_does_what_it_says() {
    /// 128 and SIGSYS.
    const KILLED: &str = "159\n";
    for (action, outcome, words) in [
        ("SCMP_ACT_ALLOW", "0\n", ""),
        ("SCMP_ACT_LOG", "0\n", ""),
        ("SCMP_ACT_ERRNO", "1\n", "Operation not permitted"),
        // There is nobody who traces.
        ("SCMP_ACT_TRACE", "1\n", "Function not implemented"),
        ("SCMP_ACT_TRAP", KILLED, "Bad system call"),
        ("SCMP_ACT_KILL", KILLED, "Bad system call"),
        ("SCMP_ACT_KILL_THREAD", KILLED, "Bad system call"),
        ("SCMP_ACT_KILL_PROCESS", KILLED, "Bad system call"),
    ] {
        for new_privileges in [false, true] {
            let ran = making_a_directory(action, new_privileges).tare(&["run", "c"]);
            assert_eq!((ran.status, ran.out.as_str()), (0, outcome), "{action}: {}", ran.err);
            assert!(ran.err.contains(words), "{action}: {}", ran.err);
        }
    }
}

#[test]
fn flags_reach_the_kernel_as_the_profile_has_them() {
    let all = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"];
    for (flags, number) in [
        (Value::Null, 4),
        (json!([]), 0),
        (json!(all), 2),
        (json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]), 6),
        // It is about a supervisor, and there is none.
        (json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]), 0),
    ] {
        let mut bundle = making_a_directory("SCMP_ACT_ERRNO", false);
        bundle.edit(|config| config["linux"]["seccomp"]["flags"] = flags.clone());
        let ran = bundle.tare(&["--debug", "run", "c"]);
        assert_eq!(ran.out, "1\n", "{}", ran.err);
        let words = format!("\"seccomp filter flags: {number}\"");
        assert!(ran.err.contains(&words), "{flags}: {}", ran.err);
    }
}

#[test]
fn a_supervisor_that_is_not_there_is_told_as_such() {
    for path in ["/nowhere/agent.sock", "@nobody"] {
        let mut bundle = making_a_directory("SCMP_ACT_NOTIFY", false);
        bundle.edit(|config| config["linux"]["seccomp"]["listenerPath"] = path.into());
        let error = bundle.tare(&["run", "c"]).fails(1);
        assert!(error.contains("failed to connect with seccomp agent"), "{error}");
    }
}
