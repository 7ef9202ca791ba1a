//! Settings of docker's: those that there are, and those that are refused by name.

use serde_json::json;
use tare_integration::command::{Ran, run};
use tare_integration::{on_host_with, programs};

/// Looks at settings, in a file and by flags.
fn validate(file: &str, flags: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daemon.json");
    std::fs::write(&path, file).unwrap();
    let mut command = std::process::Command::new(programs::directory().join("tared"));
    run(command.arg("--validate").arg(format!("--config-file={}", path.display())).args(flags))
}

#[test]
fn settings_are_looked_at_without_serving() {
    validate(r#"{"debug": true}"#, &[]).code(0).stderr_has("configuration OK");
    validate(r#"{"debug": 1}"#, &[]).code(1).stderr_has("unable to configure tared with file");
    validate("{}", &["--host=nonsense://x"]).code(1).stderr_has("unsupported proto 'nonsense'");
}

#[test]
fn what_is_so_already_is_granted_and_the_rest_refused_by_name() {
    let granted = json!({
        "iptables": true, "userland-proxy": false, "live-restore": true, "experimental": false,
        "firewall-backend": "nftables", "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "features": {"buildkit": false}, "seccomp-profile": "builtin",
    });
    validate(&granted.to_string(), &["--ip-masq", "--icc=true"]).code(0);
    for (key, value) in [
        ("iptables", json!(false)),
        ("allow-direct-routing", json!(true)),
        ("live-restore", json!(false)),
        ("authorization-plugins", json!(["opa"])),
        ("exec-opts", json!(["native.cgroupdriver=systemd"])),
        ("features", json!({"containerd-snapshotter": true})),
        ("containerd", json!("/run/containerd/containerd.sock")),
        ("selinux-enabled", json!(true)),
        ("swarm-default-advertise-addr", json!("192.0.2.1")),
        ("shutdown-timeout", json!("soon")),
        ("default-ulimits", json!({"nofile": {"Soft": 1}})),
        ("metrics-addr", json!("nowhere")),
        ("tlscert", json!(5)),
    ] {
        let refused = validate(&json!({ key: value }).to_string(), &[]);
        assert_eq!(refused.code, 1, "{key}: {refused:?}");
        let named = refused.stderr.contains(key) || refused.stderr.contains("unable to configure");
        assert!(named, "{key}: {refused:?}");
    }
    validate("{}", &["--iptables=false"]).code(1).stderr_has("iptables: it can't be false");
    validate(r#"{"iptables": true}"#, &["--iptables=true"]).code(1).stderr_has("both as a flag");
}

#[test]
fn containers_that_do_not_say_get_what_the_settings_say() {
    let flags =
        ["--default-ulimit=nofile=1000:2000", "--no-new-privileges", "--default-stop-timeout=1"];
    on_host_with(&flags, |host| {
        host.docker_with_input("load", &tare_integration::images::busybox_archive()).ok();
        let seen = "ulimit -Sn; ulimit -Hn; grep NoNewPrivs /proc/self/status";
        host.docker(&format!("run --rm busybox sh -c '{seen}'"))
            .code(0)
            .stdout("1000\n2000\nNoNewPrivs:\t1\n");
        let own = "--ulimit nofile=500 --security-opt no-new-privileges=false";
        host.docker(&format!("run --rm {own} busybox sh -c '{seen}'"))
            .code(0)
            .stdout("500\n500\nNoNewPrivs:\t0\n");
        // It hears no signal; were it asked for ten seconds, the others would be waited for in vain.
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("stop c1").code(0);
        assert_eq!(host.inspect("c1", "{{.State.ExitCode}}"), "137");
    });
}
