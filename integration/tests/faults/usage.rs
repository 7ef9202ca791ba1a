//! `system df` says what `du` says, and what is only kept to save work has a limit.

use rustix::process::Signal;
use tare_integration::archive::Tar;
use tare_integration::registry::{Access, Registry};
use tare_integration::{Host, on_host_with, until_true};

use crate::content::{archive, publish};

/// What directories that are always there take, and grow by.
const SLACK: u64 = 64 << 10;

/// Bytes of the disk below these directories of the data root.
fn du(host: &Host, directories: &str) -> u64 {
    let data = host.places().data_root.display();
    let script = format!("cd {data} && du -s -B1 -c {directories} | tail -1");
    let said = host.run("sh", &["-ec", &script]);
    said.ok().split_whitespace().next().and_then(|bytes| bytes.parse().ok()).expect("a number")
}

#[track_caller]
fn is_about(said: &serde_json::Value, counted: u64) {
    let said = said.as_u64().expect("a number");
    assert!(said.abs_diff(counted) <= SLACK, "system df says {said}, du says {counted}");
}

#[test]
fn what_system_df_says_is_on_the_disk() {
    on_host_with(&[], |host| {
        let registry = Registry::start(host, Access::Open);
        is_about(&host.get("/system/df").json()["LayersSize"], du(host, "blobs snapshots"));
        let first = publish(host, &registry, "x:1", &[(1, 3 << 20), (2, 100_000)]);
        let second = publish(host, &registry, "x:2", &[(1, 3 << 20), (3, 500_000)]);
        // Many small files: each takes more of the disk than it has bytes.
        let small = (0..500).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), 0o644, b"x"));
        host.docker_with_input("import - small", &small.bytes()).ok();
        host.docker_with_input("load", &archive("loaded", &[(4, 200_000)])).ok();
        for name in [&first, &second] {
            host.docker(&format!("pull {name}")).ok();
        }
        let df = host.get("/system/df").json();
        is_about(&df["LayersSize"], du(host, "blobs snapshots ingest partial"));
        let images = df["Images"].as_array().unwrap();
        let sum = |key: &str| images.iter().map(|image| image[key].as_u64().unwrap()).sum::<u64>();
        let unique = sum("Size") - sum("SharedSize");
        let shared = df["LayersSize"].as_u64().unwrap() - unique;
        // Busybox is in three of them, the large layer in two.
        assert!(shared > 7 << 20 && shared < 12 << 20, "{shared} bytes are shared");

        host.docker("volume create data").ok();
        let write = format!("head -c {} /dev/urandom", 1 << 20);
        let container = format!("run --name c1 -v data:/data {first} sh -c");
        host.docker(&format!("{container} '{write} > /own; {write} > /data/file'")).ok();
        let df = host.get("/system/df").json();
        is_about(&df["LayersSize"], du(host, "blobs snapshots") - (1 << 20));
        assert_eq!(df["Containers"][0]["SizeRw"], 1 << 20);
        assert_eq!(df["Volumes"][0]["UsageData"]["Size"], 1 << 20);
        assert_eq!(df["Volumes"][0]["UsageData"]["RefCount"], 1);
        is_about(&df["Volumes"][0]["UsageData"]["Size"], du(host, "volumes"));

        // All that no container has is to be had back, and is had back.
        let table = host.docker("system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'");
        let expected = "Images 4 1\nContainers 1 0\nLocal Volumes 1 1\nBuild Cache 0 0\n";
        table.code(0).stdout(expected);
        host.docker("rm c1").ok();
        host.docker("volume rm data").ok();
        let reclaimable = host.docker("system df --format '{{.Type}} {{.Reclaimable}}'");
        assert!(reclaimable.ok().contains("(100%)"), "{}", reclaimable.stdout);
        host.docker("system df -v").code(0).stdout_has("UNIQUE SIZE");
        host.docker("image prune -af").ok();
        is_about(&host.get("/system/df").json()["LayersSize"], 0);
        drop(registry);
    });
}

#[test]
fn what_is_kept_of_pulls_has_a_limit() {
    on_host_with(&["--max-cache-size=3m"], |host| {
        let mut registry = Registry::start(host, Access::Open);
        let layers = [(1, 24 << 20), (2, 24 << 20), (3, 24 << 20)];
        let name = publish(host, &registry, "x:1", &layers);
        for round in 0..3 {
            let pull = host.docker_running(&format!("pull {name}"));
            until_true("parts of layers", || du(host, "partial") > 4 << 20);
            match round {
                0 => pull.signal(Signal::INT),
                1 => registry.stop(),
                _ => host.end_daemon(Signal::KILL),
            }
            if round == 1 {
                registry.start_again(host);
                pull.signal(Signal::INT);
            }
            assert_ne!(pull.wait().code, 0);
            if round == 2 {
                host.start_daemon();
            }
            until_true("less being kept", || du(host, "partial") <= (3 << 20) + SLACK);
            is_about(&host.get("/system/df").json()["LayersSize"], du(host, "partial"));
        }
        host.docker(&format!("pull {name}")).ok();
        drop(registry);
    });
}
