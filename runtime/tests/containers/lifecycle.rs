//! A container's life, command by command.

use crate::bundle::{self, Bundle};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

#[test]
fn run_gives_the_output_and_the_exit_status() {
    let bundle = Bundle::script("echo out; echo err >&2; exit 7");
    let ran = bundle.tare(&["run", "c"]);
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(bundle.tare(&["list", "--quiet"]).ok(), "", "run has removed it");
    let killed = Bundle::script("kill -KILL $$; sleep 9");
    assert_eq!(killed.tare(&["run", "c"]).status, 0, "an init does not kill itself");
}

#[test]
fn every_state_is_passed_through_once() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.leave(&["create", "--pid-file", "pid", "c"]);
    let state = bundle.state("c");
    assert_eq!(state["status"], "created");
    assert_eq!(fs::read_to_string(bundle.path().join("pid")).unwrap(), state["pid"].to_string());
    assert_eq!(
        bundle.tare(&["create", "c"]).fails(1).matches("already exists").count(),
        1,
        "an id is given once"
    );

    bundle.tare(&["start", "c"]).ok();
    bundle.wait_for("c", "running");
    assert!(bundle.tare(&["start", "c"]).fails(1).contains("already running container"));
    assert!(
        bundle
            .tare(&["delete", "c"])
            .fails(1)
            .contains("cannot delete container c that is not stopped: running")
    );
    assert!(bundle.tare(&["resume", "c"]).fails(1).contains("container not paused"));

    bundle.tare(&["pause", "c"]).ok();
    assert_eq!(bundle.state("c")["status"], "paused");
    assert!(bundle.tare(&["exec", "c", "true"]).fails(255).contains("paused container"));
    bundle.tare(&["resume", "c"]).ok();
    bundle.tare(&["exec", "c", "true"]).ok();

    bundle.tare(&["kill", "c", "KILL"]).ok();
    bundle.wait_for("c", "stopped");
    assert_eq!(bundle.state("c")["pid"], 0);
    assert!(bundle.tare(&["kill", "c", "TERM"]).fails(1).contains("container not running"));
    assert!(bundle.tare(&["start", "c"]).fails(1).contains("has stopped"));
    assert!(bundle.tare(&["exec", "c", "true"]).fails(255).contains("stopped container"));
    bundle.tare(&["delete", "c"]).ok();
    assert!(bundle.tare(&["state", "c"]).fails(1).contains("container does not exist"));
    bundle.tare(&["delete", "--force", "c"]).ok();
}

#[test]
fn a_created_container_is_deleted_by_force_alone() {
    let bundle = Bundle::new(&["true"]);
    bundle.leave(&["create", "c"]);
    assert!(
        bundle
            .tare(&["delete", "c"])
            .fails(1)
            .contains("cannot delete container c that is not stopped: created")
    );
    assert_eq!(bundle.state("c")["status"], "created");
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert!(!bundle.path().join("containers/c").exists());
}

/// As an ordinary process would: the first of a pid namespace ends only if it wants to.
#[test]
fn a_created_container_ends_when_it_is_asked_to() {
    for signal in ["TERM", "INT", "HUP", "QUIT", "KILL"] {
        let bundle = Bundle::new(&["true"]);
        // Whoever runs the tests may ignore some of them, which a container would inherit.
        let create = bundle.command();
        let mut unimpressed = std::process::Command::new("env");
        unimpressed.arg("--default-signal").arg(create.get_program()).args(create.get_args());
        unimpressed.arg("create").arg("c").current_dir(bundle.path());
        unimpressed.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(unimpressed.status().unwrap().success(), "{signal}");
        bundle.tare(&["kill", "c", signal]).ok();
        bundle.wait_for("c", "stopped");
        assert!(bundle.tare(&["start", "c"]).fails(1).contains("has stopped"), "{signal}");
    }
    // What the program does about them is its own business.
    let bundle = Bundle::script("trap 'echo caught; exit 4' TERM; kill -TERM 1; sleep 5");
    let ran = bundle.tare(&["run", "c"]);
    assert_eq!((ran.status, ran.out.as_str()), (4, "caught\n"));
}

#[test]
fn a_program_that_cannot_run_is_told_at_create() {
    for (program, words) in [
        ("nope", "exec: \\\"nope\\\": executable file not found in $PATH"),
        ("/nope", "no such file or directory"),
        ("/tmp", "is a directory"),
        ("/etc/passwd", "no such file or directory"),
    ] {
        let bundle = Bundle::new(&[program]);
        let error = bundle.tare(&["create", "c"]).fails(1);
        assert!(error.contains(words), "{program}: {error}");
        assert!(!bundle.path().join("containers/c").exists(), "{program}");
    }
    let bundle = Bundle::new(&["/plain"]);
    fs::write(bundle.image("plain"), "").unwrap();
    assert!(bundle.tare(&["run", "c"]).fails(1).contains("permission denied"));
}

#[test]
fn the_log_has_the_error_as_json() {
    let bundle = Bundle::new(&["nope"]);
    let ran = bundle.tare(&["--log", "log", "--log-format", "json", "create", "c"]);
    let error = ran.fails(1);
    let log = fs::read_to_string(bundle.path().join("log")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
    assert_eq!(entry["level"], "error");
    assert_eq!(entry["msg"], error.trim_end());
}

#[test]
fn exec_joins_the_container() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    let pid = bundle.state("c")["pid"].to_string();
    for kind in ["mnt", "pid", "net", "ipc", "uts"] {
        let link = format!("/proc/self/ns/{kind}");
        let inside = bundle.tare(&["exec", "c", "readlink", &link]).ok();
        let init = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(inside.trim_end(), init.to_str().unwrap());
    }
    let user = ["exec", "-u", "1000:100", "-g", "7", "--cwd", "/tmp", "-e", "A=b", "c"];
    let script = "echo $(id -u) $(id -g) $(id -G) $(pwd) $A $HOME";
    let ran = bundle.tare(&[&user[..], &["sh", "-c", script]].concat());
    assert_eq!(ran.ok(), "1000 100 100 7 /tmp b /\n");
    assert_eq!(bundle.tare(&["exec", "c", "sh", "-c", "exit 9"]).status, 9);
    assert!(bundle.tare(&["exec", "c", "nope"]).fails(255).contains("executable file not found"));

    bundle.leave(&["exec", "--detach", "--pid-file", "pid", "c", "sleep", "1000"]);
    let started = fs::read_to_string(bundle.path().join("pid")).unwrap();
    let shown = bundle.tare(&["ps", "--format", "json", "c"]).ok();
    assert_eq!(shown.trim_end(), format!("[{pid},{started}]"));
}

#[test]
fn a_process_file_says_all() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    let process = serde_json::json!({
        "user": { "uid": 5, "gid": 6, "umask": 0o077 },
        "args": ["sh", "-c", "id -u; id -g; umask; grep -E 'NoNewPrivs|CapEff' /proc/self/status"],
        "env": ["PATH=/bin"],
        "cwd": "/",
        "noNewPrivileges": true,
        "rlimits": [{ "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }]
    });
    fs::write(bundle.path().join("process.json"), process.to_string()).unwrap();
    let out = bundle.tare(&["exec", "--process", "process.json", "c"]).ok();
    assert_eq!(out, "5\n6\n0077\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
}

#[test]
fn a_scheduler_is_applied() {
    let mut bundle = Bundle::new(&["cat", "/proc/self/stat"]);
    bundle.edit(|config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 5 });
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE" });
    });
    let stat = bundle.tare(&["run", "c"]).ok();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Counted from the third of proc(5): nice is the 19th, the policy the 41st.
    assert_eq!((fields[16], fields[38]), ("5", "3"), "{stat}");
    bundle.edit(|config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_FIFO", "runtime": 1 })
    });
    assert!(bundle.tare(&["run", "c"]).fails(1).contains("runtime/deadline/period"));
}

#[test]
fn mounts_have_their_options() {
    let mut bundle = Bundle::script(
        "cat /volume/file; touch /volume/new; cat /filled/seed; touch /filled/more && \
         grep -c ' /volume ro,nosuid' /proc/self/mountinfo; stat -c %a /shared /fresh /kept; cat /relative",
    );
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "data\n").unwrap();
    fs::create_dir(bundle.image("filled")).unwrap();
    fs::write(bundle.image("filled/seed"), "seed\n").unwrap();
    bundle.mount("/volume", "bind", &volume, &["rbind", "ro", "nosuid"]);
    bundle.mount("/relative", "bind", Path::new("volume/file"), &["bind"]);
    bundle.mount("/filled", "tmpfs", Path::new("tmpfs"), &["tmpcopyup"]);
    fs::create_dir(bundle.image("kept")).unwrap();
    fs::set_permissions(bundle.image("kept"), PermissionsExt::from_mode(0o750)).unwrap();
    bundle.mount("/fresh", "tmpfs", Path::new("tmpfs"), &[]);
    bundle.mount("/kept", "tmpfs", Path::new("tmpfs"), &[]);
    bundle.mount("/shared", "tmpfs", Path::new("tmpfs"), &["mode=1757", "size=4k"]);
    let ran = bundle.tare(&["run", "c"]);
    assert_eq!(ran.out, "data\nseed\n1\n1757\n1777\n750\ndata\n", "{}", ran.err);
    assert!(ran.err.contains("Read-only file system"), "{}", ran.err);
    assert!(!bundle.image("filled/more").exists());
}

#[test]
fn a_user_namespace_maps_ids() {
    let mut bundle =
        Bundle::script("cat /proc/self/uid_map; id -u; stat -c '%u %t:%T' /dev/null /mapped");
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    bundle.mount("/mapped", "bind", &volume, &["bind", "idmap"]);
    bundle.edit(|config| {
        let map = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!({ "type": "user" }));
    });
    // The mapped root must be able to reach the image.
    let open = PermissionsExt::from_mode(0o777);
    fs::set_permissions(bundle.path(), open).unwrap();
    fs::set_permissions(bundle.image(""), PermissionsExt::from_mode(0o777)).unwrap();
    let out = bundle.tare(&["run", "c"]).ok();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "65536", "0", "65534", "1:3", "0", "0:0"], "{out}");
}

#[test]
fn namespaces_are_joined_by_path() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("host");
    let pid = bundle.state("host")["pid"].to_string();
    let mut other = Bundle::script("readlink /proc/self/ns/net; readlink /proc/self/ns/pid; ps");
    other.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            let link = match namespace["type"].as_str().unwrap() {
                "network" => "net",
                "pid" => "pid",
                _ => continue,
            };
            namespace["path"] = format!("/proc/{pid}/ns/{link}").into();
        }
    });
    let out = other.tare(&["run", "c"]).ok();
    for link in ["net", "pid"] {
        let joined = fs::read_link(format!("/proc/{pid}/ns/{link}")).unwrap();
        assert!(out.contains(joined.to_str().unwrap()), "{out}");
    }
    assert!(out.contains("sleep 1000"), "{out}");
}

#[test]
fn clocks_are_set_off() {
    let mut bundle = Bundle::new(&["cat", "/proc/uptime"]);
    bundle.edit(|config| {
        config["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!({ "type": "time" }));
        config["linux"]["timeOffsets"] =
            serde_json::json!({ "boottime": { "secs": 1_000_000_000 } });
    });
    assert!(bundle.tare(&["run", "c"]).ok().starts_with("1000"));
}

#[test]
fn preserved_descriptors_and_no_others_reach_the_program() {
    let bundle = Bundle::script("ls /proc/self/fd");
    let script = format!(
        "exec 3</dev/zero 4</dev/zero 9</dev/zero; exec {} --root containers run --preserve-fds 1 c",
        bundle::TARE
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
    let out = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    // The fifth is the directory that ls reads.
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    assert!(bundle.tare(&["run", "--preserve-fds", "5", "c"]).fails(1).contains("preserved-fd"));
}

#[test]
fn a_kill_succeeds_however_fast_its_processes_go() {
    let mut bundle = Bundle::new(&["sleep", "100"]);
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    // Without a pid namespace all of its cgroup is killed, and then its first process.
    for round in 0..8 {
        let id = format!("c{round}");
        bundle.start(&id);
        bundle.tare(&["kill", &id, "KILL"]).ok();
        bundle.wait_for(&id, "stopped");
        bundle.tare(&["kill", &id, "KILL"]).ok();
        bundle.tare(&["delete", &id]).ok();
    }
}
