//! What the commands say: help, versions, warnings, the debug log, and errors that callers match on.

use crate::bundle::{self, Bundle};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

#[test]
fn help_and_version_read_as_those_of_runc() {
    let bundle = Bundle::new(&["true"]);
    let text = bundle.tare(&["--help"]).ok();
    assert!(
        text.starts_with("NAME:\n   tare, runc - Open Container Initiative runtime\n"),
        "{text}"
    );
    assert_eq!(bundle.tare(&[]).ok(), text);
    for command in ["create", "delete", "events", "exec", "kill", "list", "pause", "ps", "resume"] {
        let text = bundle.tare(&[command, "-h"]).ok();
        assert!(text.starts_with(&format!("NAME:\n   tare {command} - ")), "{text}");
    }
    let version = bundle.tare(&["--version"]).ok();
    let lines: Vec<&str> = version.lines().collect();
    assert!(lines[0].starts_with("tare, runc version "), "{version}");
    assert!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: "), "{version}");
    assert!(bundle.tare(&["foo", "-h"]).fails(3).contains("No help topic for 'foo'"));
}

/// A host may know it by the name of the program whose place it takes.
#[test]
fn it_answers_to_the_name_that_it_is_called_by() {
    let bundle = Bundle::new(&["true"]);
    let runc = bundle.path().join("runc");
    symlink(bundle::TARE, &runc).unwrap();
    let output = Command::new(runc).arg("--version").output().unwrap();
    assert!(output.stdout.starts_with(b"runc version "), "{output:?}");
}

#[test]
fn the_debug_log_has_the_steps() {
    let bundle = Bundle::new(&["true"]);
    let ran = bundle.tare(&["--debug", "run", "c"]);
    assert_eq!((ran.status, ran.out.as_str()), (0, ""));
    for step in ["nsexec container setup", "child process in init()", "to signal completion"] {
        assert!(ran.err.contains(step), "{step}: {}", ran.err);
    }
    assert!(ran.err.lines().all(|line| line.contains("level=debug")), "{}", ran.err);
    // A relative log is where the caller is, and not in the bundle.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = bundle.command();
    command.current_dir(elsewhere.path()).args(["--debug", "--log", "log", "run", "--bundle"]);
    let output = command.arg(bundle.path()).arg("c").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let log = fs::read_to_string(elsewhere.path().join("log")).unwrap();
    assert!(log.contains("child process in init()"), "{log}");
    assert_eq!(bundle.tare(&["run", "c"]).err, "", "only when asked");
}

#[test]
fn what_a_container_does_not_get_is_told() {
    let mut bundle = Bundle::new(&["grep", "CapAmb", "/proc/self/status"]);
    bundle.edit(|config| {
        let capabilities = &mut config["process"]["capabilities"];
        capabilities["inheritable"] = serde_json::json!(["CAP_KILL"]);
        capabilities["ambient"] = serde_json::json!(["CAP_KILL", "CAP_CHOWN"]);
        capabilities["bounding"].as_array_mut().unwrap().push("CAP_FUTURE".into());
    });
    let ran = bundle.tare(&["run", "c"]);
    assert_eq!((ran.status, ran.out.as_str()), (0, "CapAmb:\t0000000000000020\n"), "{}", ran.err);
    assert!(ran.err.contains("level=warning"), "{}", ran.err);
    assert!(ran.err.contains("can't raise ambient capability CAP_CHOWN: "), "{}", ran.err);
    assert!(ran.err.contains("ignoring unknown or unavailable capabilities: [CAP_FUTURE]"));
}

/// By then the runtime has said that the container is there: the program's own error stream tells.
#[test]
fn a_program_that_the_kernel_refuses_is_told_where_it_would_have_written() {
    let bundle = Bundle::new(&["/bin/script"]);
    fs::write(bundle.image("bin/script"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(bundle.image("bin/script"), PermissionsExt::from_mode(0o755)).unwrap();
    let said = "exec /bin/script: no such file or directory\n";
    assert_eq!(bundle.tare(&["run", "c"]).fails(255), said);
    let running = Bundle::new(&["sleep", "1000"]);
    fs::copy(bundle.image("bin/script"), running.image("bin/script")).unwrap();
    running.start("c");
    let error = running.tare(&["exec", "c", "/bin/script"]).fails(255);
    assert!(error.contains(said.trim_end()), "{error}");
}

/// An exec may come while the container is on its way out: it runs, or hears that it came too late.
#[test]
fn an_exec_that_comes_too_late_is_told_so() {
    for _ in 0..10 {
        let bundle = Bundle::new(&["sleep", "1000"]);
        bundle.start("c");
        let pid = bundle.state("c")["pid"].as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let ran = bundle.tare(&["exec", "c", "true"]);
        if ran.status != 0 && ran.status != 137 {
            assert!(ran.err.contains("exec failed: cannot exec in a stopped container"), "{ran:?}");
        }
        bundle.wait_for("c", "stopped");
        let error = bundle.tare(&["exec", "c", "true"]).fails(255);
        assert!(error.contains("exec failed: cannot exec in a stopped container"), "{error}");
        assert!(bundle.tare(&["kill", "c", "0"]).fails(1).contains("container not running"));
        bundle.tare(&["kill", "--all", "c", "KILL"]).ok();
        assert!(bundle.tare(&["pause", "c"]).fails(1).contains("container not running"));
        assert!(bundle.tare(&["resume", "c"]).fails(1).contains("container not paused"));
        let update = ["update", "--memory", "100m", "c"];
        assert!(bundle.tare(&update).fails(1).contains("container not running"));
        let error = bundle.tare(&["events", "--stats", "c"]).fails(1);
        assert!(error.contains("container with id c is not running"), "{error}");
        assert_eq!(bundle.tare(&["ps", "--format", "json", "c"]).ok(), "null\n");
    }
}

#[test]
fn what_an_exec_cannot_have_is_said_as_runc_says_it() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    for (flags, words) in [
        (&["--cwd", "rel"][..], "exec failed: Cwd must be an absolute path"),
        (&["-g", "-1"], "additional-gids must be a positive number -1"),
        (&["--env", "BAD"], "invalid environment variable: missing '='"),
        (&["--tty", "--detach"], "cannot allocate tty if runc will detach without setting console"),
    ] {
        let line = [&["exec"], flags, &["c", "true"]].concat();
        let error = bundle.tare(&line).fails(255);
        assert!(error.contains(words), "{error}");
    }
    let ran = bundle.tare(&["exec", "--cap", "CAP_FUTURE", "c", "true"]);
    assert_eq!(ran.status, 0);
    assert!(ran.err.contains("ignoring unknown or unavailable capabilities: [CAP_FUTURE]"));
    let ran = bundle.tare(&["update", "--kernel-memory", "100m", "c"]);
    assert!(ran.status == 0 && ran.err.contains("Kernel memory settings are ignored"), "{ran:?}");
    let error = bundle.tare(&["update", "--memory", "foo", "c"]).fails(1);
    assert!(error.contains("invalid value for memory: invalid size: 'foo'"), "{error}");
    let error = bundle.tare(&["--log", "/nodir/x", "list"]).fails(1);
    assert_eq!(error.matches("open /nodir/x: no such file or directory").count(), 1, "{error}");
}
