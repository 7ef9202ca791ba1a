//! SIGHUP: the file is read anew.

use rustix::process::Signal;
use serde_json::json;
use tare_integration::{Host, on_host_with, until_true};

/// Lets the daemon read its settings anew.
fn reload(host: &Host) {
    host.run("kill", &["-HUP", &host.daemon_pid()]).ok();
}

#[test]
fn what_may_change_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("daemon.json");
    let write = |value: serde_json::Value| std::fs::write(&file, value.to_string()).unwrap();
    write(json!({ "labels": ["a=1"] }));
    on_host_with(&[&format!("--config-file={}", file.display())], |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        let events = host.docker_running("events --filter type=daemon --format '{{json .}}'");
        until_true("a listener", || host.get("/info").json()["NEventsListener"] == 1);
        write(json!({
            "labels": ["a=2"], "debug": true, "default-shm-size": "32m",
            "default-ipc-mode": "shareable", "max-concurrent-downloads": 7,
            "insecure-registries": ["reg.test:5000"], "registry-mirrors": ["https://mirror.test"],
            "runtimes": { "other": { "path": "/usr/bin/other" } },
        }));
        reload(host);
        events.wait_for_stdout("reload");
        let told: serde_json::Value =
            serde_json::from_str(events.stdout().lines().next().unwrap()).unwrap();
        let attributes = &told["Actor"]["Attributes"];
        assert_eq!(attributes["labels"], r#"["a=2"]"#);
        assert_eq!(attributes["debug"], "true");
        assert_eq!(attributes["max-concurrent-downloads"], "7");
        assert!(attributes["runtimes"].as_str().unwrap().contains("other:/usr/bin/other"));
        let info = host.get("/info").json();
        assert_eq!(info["Labels"], json!(["a=2"]));
        assert_eq!(info["Debug"], true);
        assert_eq!(info["RegistryConfig"]["Mirrors"], json!(["https://mirror.test/"]));
        assert!(info["RegistryConfig"]["IndexConfigs"]["reg.test:5000"].is_object(), "{info}");
        assert!(info["Runtimes"]["other"].is_object(), "{info}");
        host.docker("create --name c1 busybox").ok();
        assert_eq!(
            host.inspect("c1", "{{.HostConfig.ShmSize}} {{.HostConfig.IpcMode}}"),
            "33554432 shareable"
        );

        // What is wrong changes nothing, and the daemon goes on.
        std::fs::write(&file, r#"{"labels": ["no label"]}"#).unwrap();
        reload(host);
        until_true("the complaint", || {
            host.daemon_log().contains("settings are kept as they were")
        });
        assert_eq!(host.get("/info").json()["Labels"], json!(["a=2"]));
        write(json!({ "labels": ["a=3"] }));
        reload(host);
        until_true("the next labels", || host.get("/info").json()["Labels"] == json!(["a=3"]));
        assert_eq!(host.get("/info").json()["Debug"], false);
        events.signal(Signal::TERM);
        events.wait();
    });
}
