//! Fields of the configuration, each as the program finds it.

use crate::bundle::{Bundle, Ran, TARE};
use serde_json::json;
use std::fs;
use std::process::Command;

#[test]
fn a_personality_is_that_of_every_process() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.edit(|config| config["linux"]["personality"] = json!({"domain": "LINUX32"}));
    bundle.start("c");
    let script = "cat /proc/self/personality /proc/1/personality";
    assert_eq!(bundle.tare(&["exec", "c", "sh", "-c", script]).ok(), "00000008\n00000008\n");
    bundle.edit(|config| config["linux"]["personality"]["flags"] = json!(["X"]));
    assert!(bundle.tare(&["run", "d"]).fails(1).contains("personality flag \\\"X\\\""));
}

#[test]
fn a_memory_policy_is_that_of_every_process() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.edit(|config| {
        config["linux"]["memoryPolicy"] =
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    });
    bundle.start("c");
    let maps = bundle.tare(&["exec", "c", "sh", "-c", "head -n 1 /proc/self/numa_maps"]).ok();
    assert!(maps.contains(" bind=static:0"), "{maps}");
    let maps = bundle.tare(&["exec", "c", "head", "-n", "1", "/proc/1/numa_maps"]).ok();
    assert!(maps.contains(" bind=static:0"), "{maps}");
}

#[test]
fn clocks_and_names_are_the_containers_own() {
    let mut bundle =
        Bundle::new(&["cat", "/proc/self/timens_offsets", "/proc/sys/kernel/domainname"]);
    bundle.edit(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
        config["linux"]["timeOffsets"] =
            json!({"monotonic": {"secs": 86400}, "boottime": {"secs": 7, "nanosecs": 9}});
        config["domainname"] = json!("example.org");
    });
    let words: Vec<String> =
        bundle.tare(&["run", "c"]).ok().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["monotonic", "86400", "0", "boottime", "7", "9", "example.org"]);
}

#[test]
fn flags_of_the_scheduler_have_the_specifications_names() {
    let mut bundle = Bundle::new(&["sh", "-c", "cat /proc/self/sched; true"]);
    bundle.edit(|config| {
        config["process"]["scheduler"] =
            json!({"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    });
    bundle.tare(&["run", "c"]).ok();
    bundle.edit(|config| config["process"]["scheduler"]["flags"] = json!(["SCHED_FLAG_ODD"]));
    assert!(bundle.tare(&["run", "c"]).fails(1).contains("SCHED_FLAG_ODD"));
}

#[test]
fn a_process_file_may_leave_its_user_out() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    let process = json!({"args": ["id", "-u"], "env": ["PATH=/bin"], "cwd": "/"});
    fs::write(bundle.path().join("process.json"), process.to_string()).unwrap();
    assert_eq!(bundle.tare(&["exec", "--process", "process.json", "c"]).ok(), "0\n");
}

#[test]
fn the_state_follows_the_version_that_this_program_does() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.edit(|config| config["ociVersion"] = json!("1.0.2-dev"));
    bundle.start("c");
    assert_eq!(bundle.state("c")["ociVersion"], "1.3.0");
}

#[test]
fn capabilities_that_cannot_be_given_fail_the_creation() {
    let mut bundle = Bundle::new(&["true"]);
    bundle.allow(&["CAP_SYS_TIME"]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", TARE, "--root", "containers", "create", "c"]);
    let ran = Ran::from(command.current_dir(bundle.path()).output().unwrap());
    let error = ran.fails(1);
    assert!(error.contains("unable to apply caps"), "{error}");
    assert!(error.contains("operation not permitted"), "{error}");
    assert!(!bundle.path().join("containers/c").exists());
}

#[test]
fn resctrl_is_asked_for_where_it_is() {
    let mut bundle = Bundle::new(&["true"]);
    bundle.edit(|config| config["linux"]["intelRdt"] = json!({"closID": "no-such-class"}));
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - resctrl ");
    let why = if mounted { "clos dir not accessible" } else { "no resctrl file system is mounted" };
    assert!(bundle.tare(&["run", "c"]).fails(1).contains(why));
    assert!(!bundle.path().join("containers/c").exists());
}
