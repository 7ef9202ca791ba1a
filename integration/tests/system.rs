//! The daemon as a whole: `version`, `info`, `--help`, `check`, and its settings.

use serde_json::json;
use tare_integration::command::{Ran, run};
use tare_integration::{on_host, on_host_with, peer, programs};

/// Runs `tared` itself; it should end at once.
fn tared(arguments: &[&str]) -> Ran {
    run(std::process::Command::new(programs::directory().join("tared")).args(arguments))
}

#[test]
fn version_tells_of_both_ends() {
    on_host_with(&[], |host| {
        let version = host.docker("version --format json").json();
        let server = &version["Server"];
        assert_eq!(server["Os"], "linux");
        assert!(server["ApiVersion"].as_str().is_some_and(|version| version.starts_with("1.")));
        assert!(server["Version"].as_str().is_some_and(|version| !version.is_empty()));
        host.docker("version").code(0).stdout_has("Server:");
    });
}

#[test]
fn info_counts_and_names_the_runtimes() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("create busybox").ok();
        let info = host.docker("info --format json").json();
        assert_eq!(info["Containers"], 2);
        assert_eq!(info["ContainersRunning"], 1);
        assert_eq!(info["ContainersStopped"], 1);
        assert_eq!(info["Images"], 1);
        assert_eq!(info["OSType"], "linux");
        assert_eq!(info["MemoryLimit"], true);
        assert!(info["NCPU"].as_u64() > Some(0));
        assert!(info["MemTotal"].as_u64() > Some(0));
        let default = info["DefaultRuntime"].as_str().unwrap_or_default();
        assert!(info["Runtimes"].get(default).is_some(), "{info}");
        assert_eq!(info["DockerRootDir"], host.places().data_root.display().to_string());
        host.docker("info").code(0).stdout_has("seccomp");
    });
}

#[test]
fn ping_names_the_newest_api() {
    on_host_with(&[], |host| {
        let ping = host.get("/_ping");
        assert_eq!((ping.status, ping.body.as_str()), (200, "OK"));
        assert!(ping.head.to_ascii_lowercase().contains("api-version: 1."), "{ping:?}");
        // An old client is served, one that is too old or too new is told so.
        assert_eq!(host.get("/v1.43/containers/json").status, 200);
        let old = host.get("/v1.10/containers/json");
        assert_eq!(old.status, 400);
        assert!(old.message().contains("client version 1.10 is too old"), "{old:?}");
        let new = host.get("/v9.99/containers/json");
        assert_eq!(new.status, 400);
        assert!(new.message().contains("client version 9.99 is too new"), "{new:?}");
    });
}

#[test]
fn help_tells_of_every_flag() {
    let help = tared(&["--help"]);
    for flag in ["--data-root", "--exec-root", "--host", "--config-file", "--bip", "--add-runtime"]
    {
        help.stdout_has(flag);
    }
    help.code(0).stdout_has("check");
    tared(&["--version"]).code(0).stdout_has("tared ");
    tared(&["--no-such-flag"]).code(2).stderr_has("--no-such-flag");
}

#[test]
fn check_has_a_line_for_everything() {
    let check = tared(&["check"]);
    check.code(0).stdout_has("overlay").stdout_has("seccomp").stdout_has("memory");
    let json = tared(&["check", "--format", "json"]).json();
    assert_eq!(json.as_array().map(Vec::len), Some(check.lines().len()));
    let broken = tared(&["--shim", "/no/such/shim", "check"]);
    broken.code(1).stdout_has("/no/such/shim");
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("daemon.json");
    let with_file = |text: &str, flags: &[&str]| {
        std::fs::write(&file, text).expect("write a file");
        let file = file.display().to_string();
        tared(&[&["--config-file", file.as_str()], flags].concat())
    };
    with_file(r#"{"no-such-key": 1}"#, &[])
        .code(1)
        .stderr_has("the following directives don't match any configuration option: no-such-key");
    with_file(r#"{"labels": ["a=b"]}"#, &["--label", "c=d"])
        .code(1)
        .stderr_has("specified both as a flag and in the configuration file: labels");
    with_file("{", &[]).code(1).stderr_has("unable to configure tared with file");
    with_file("{}", &["--host", "tcp://127.0.0.1:2375"]).code(1).stderr_has("tcp://127.0.0.1:2375");
    with_file("{}", &["--default-runtime", "nothing"]).code(1).stderr_has("no runtime nothing");
}

#[test]
fn settings_come_from_the_file() {
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("daemon.json");
    let settings = json!({
        "labels": ["of=test"], "bip": "10.123.0.1/24", "dns": ["192.0.2.1"], "init": true,
        "default-shm-size": "32m", "log-driver": "json-file", "log-opts": { "max-size": "1m" },
        "debug": true,
    });
    std::fs::write(&file, settings.to_string()).expect("write a file");
    let flag = format!("--config-file={}", file.display());
    on_host_with(&[&flag], |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        let info = host.docker("info --format json").json();
        assert_eq!(info["Labels"], json!(["of=test"]));
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        assert_eq!(host.inspect("c1", "{{.NetworkSettings.Gateway}}"), "10.123.0.1");
        host.docker("exec c1 cat /etc/resolv.conf").stdout_has("nameserver 192.0.2.1");
        host.docker("exec c1 df -k /dev/shm").stdout_has(" 32768 ");
        host.docker("exec c1 cat /proc/1/comm").stdout_has("init");
        assert_eq!(host.inspect("c1", "{{index .HostConfig.LogConfig.Config \"max-size\"}}"), "1m");
    });
}

#[test]
fn two_daemons_do_not_share_their_places() {
    if !peer::is_tared("its words on a second daemon") {
        return;
    }
    on_host(|host| {
        let tared = programs::directory().join("tared").display().to_string();
        let arguments = host.places().arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        host.run(&tared, &arguments).code(1).stderr_has("another tared runs");
        let scratch = host.scratch("other").display().to_string();
        let roots = [format!("--data-root={scratch}/d"), format!("--exec-root={scratch}/e")];
        let socket = format!("--host=unix://{}", host.places().socket.display());
        host.run(&tared, &[&roots[0], &roots[1], &socket]).code(1).stderr_has("serves on");
        host.docker("ps").ok();
    });
}
