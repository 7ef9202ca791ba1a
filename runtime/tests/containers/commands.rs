//! What the commands show, field by field, and where they read and write.

use crate::bundle::Bundle;
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixListener;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn state_and_list_show_what_runc_shows() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.edit(|config| config["annotations"] = serde_json::json!({ "b": "1", "a": "2" }));
    assert_eq!(bundle.tare(&["list"]).status, 1, "a directory that was named must be there");
    bundle.start("c");
    let fields = [
        "annotations",
        "bundle",
        "created",
        "id",
        "ociVersion",
        "owner",
        "pid",
        "rootfs",
        "status",
    ];
    let state = bundle.state("c");
    assert_eq!(keys(&state), fields);
    assert_eq!((&state["id"], &state["owner"]), (&"c".into(), &"".into()));
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(state["rootfs"], bundle.path().join("rootfs").to_str().unwrap());
    let listed: Value =
        serde_json::from_str(&bundle.tare(&["list", "--format", "json"]).ok()).unwrap();
    assert_eq!(keys(&listed[0]), fields);
    assert_eq!(listed[0]["owner"], "root");
    let table = bundle.tare(&["list"]).ok();
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(words[..6], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!((words[6], words[8], words[11]), ("c", "running", "root"));
    assert_eq!(bundle.tare(&["list", "-q"]).ok(), "c\n");
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert_eq!(bundle.tare(&["list", "-f", "json"]).ok(), "null\n");
}

#[test]
fn events_show_what_runc_shows() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    let line = bundle.tare(&["events", "--stats", "c"]).ok();
    assert_eq!(line.lines().count(), 1);
    assert!(line.starts_with(r#"{"type":"stats","id":"c","data":{"cpu":"#), "{line}");
    let event: Value = serde_json::from_str(&line).unwrap();
    let data = &event["data"];
    assert_eq!(
        keys(data),
        ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"]
    );
    assert_eq!(data["pids"]["current"], 1);
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{data}");
    assert!(data["memory"]["raw"].is_object() && data["cpu"]["usage"].is_object(), "{data}");
    let error = bundle.tare(&["events", "--interval", "0s", "c"]).fails(1);
    assert!(error.contains("duration interval must be greater than 0"), "{error}");
}

/// Relative paths count from where the caller is, and not from the bundle.
#[test]
fn files_are_where_the_caller_is() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    let here = tempfile::tempdir().unwrap();
    let call = |line: &[&str]| {
        let mut command = bundle.command();
        command.current_dir(here.path()).args(line);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        assert!(command.status().unwrap().success(), "{line:?}");
    };
    let path = bundle.path().to_str().unwrap();
    let pid = |id: &str| bundle.state(id)["pid"].to_string();
    let read = |name: &str| fs::read_to_string(here.path().join(name)).unwrap();
    call(&["create", "--bundle", path, "--pid-file", "one", "one"]);
    assert_eq!(read("one"), pid("one"));
    bundle.tare(&["delete", "--force", "one"]).ok();
    let _listener = UnixListener::bind(here.path().join("socket")).unwrap();
    call(&["run", "-d", "-b", path, "--pid-file", "two", "--pidfd-socket", "socket", "two"]);
    assert_eq!(read("two"), pid("two"));
    call(&["exec", "-d", "--pid-file", "three", "two", "sleep", "1000"]);
    assert_ne!(read("three"), pid("two"));
    assert!(!bundle.path().join("one").exists() && !bundle.path().join("three").exists());
}

/// A terminal is made only for a bundle that asks for one, which the bundle that `spec` writes does.
#[test]
fn a_bundle_that_does_not_speak_of_a_terminal_has_none() {
    let mut bundle = Bundle::script("test -t 0 || echo none");
    bundle.edit(|config| {
        let process = config["process"].as_object_mut().unwrap();
        process.remove("terminal").unwrap();
    });
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "none\n");
    fs::remove_file(bundle.path().join("config.json")).unwrap();
    bundle.tare(&["spec"]).ok();
    let text = fs::read_to_string(bundle.path().join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["process"]["terminal"], true);
    assert!(bundle.tare(&["spec"]).fails(1).contains("File config.json exists. Remove it first"));
}
