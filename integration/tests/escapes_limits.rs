//! Holes that container engines have had, each shown to be closed here: what a container can make
//! the manager and the shim read or keep.

use serde_json::json;
use tare_integration::archive::Tar;
use tare_integration::hostile;
use tare_integration::{Host, on_host, peer};

/// The most memory that the daemon or a shim may ever have had, in KiB.
const MOST: u64 = 160 << 10;

/// CVE-2026-47262 and its kin: account files that never end, or are none.
#[test]
fn hostile_account_files_hold_nobody_up() {
    on_host(|host| {
        let huge: Vec<u8> = b"x:x:1:1:::\n".repeat(2 << 20);
        for (name, layer) in [
            ("pipe", Tar::new().pipe("etc/passwd", 0o644).pipe("etc/group", 0o644)),
            ("device", Tar::new().device("etc/passwd", 0o644, (1, 5))),
            (
                "directory",
                Tar::new().raw_file("etc/.wh.passwd", b"").directory("etc/passwd/x", 0o755),
            ),
            ("loop", Tar::new().link("etc/passwd", "passwd")),
            ("huge", Tar::new().file("etc/passwd", 0o644, &huge)),
        ] {
            hostile::load_image(host, name, layer, json!({}));
            let by_name = host.docker(&format!("run --rm -u alice {name} true"));
            assert!(by_name.code != 0, "{by_name:#?}");
            if name != "huge" {
                host.docker(&format!("run --rm -u 7 {name} true")).ok();
            }
        }
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("exec c1 sh -c 'rm /etc/passwd && mkfifo /etc/passwd'").ok();
        host.docker("exec -u 7 c1 true").ok();
        assert_ne!(host.docker("exec -u alice c1 true").code, 0);
        memory_stays_small(host);
    });
}

/// CVE-2022-31030, CVE-2022-23471, CVE-2025-64329: output without end, for a reader that never reads.
#[test]
fn output_without_end_is_held_back() {
    if !peer::is_tared("this much memory") {
        return;
    }
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let pour = "timeout 3 cat /dev/zero";
        for typed in [
            format!("run --rm --log-driver none busybox {pour} | sleep 4"),
            format!("run --rm --log-driver none -t busybox {pour} | sleep 4"),
            format!("exec c1 {pour} | sleep 4"),
            // A line without end, in the log.
            format!(
                "run --rm --log-opt max-size=1m busybox sh -c \"{pour} | head -c 300000000\" > /dev/null"
            ),
        ] {
            host.docker(&typed);
            memory_stays_small(host);
        }
    });
}

/// Neither the daemon nor a shim has ever had more memory than is becoming.
#[track_caller]
fn memory_stays_small(host: &Host) {
    if peer::dockerd_root().is_some() {
        return;
    }
    let all = host.run("sh", &["-c", "cat /proc/[0-9]*/status 2> /dev/null; true"]);
    let (mut name, mut seen) = ("", Vec::new());
    for line in all.stdout.lines() {
        match line.split_once(":\t") {
            Some(("Name", value)) => name = value,
            Some(("VmHWM", value)) if name == "tared" || name.starts_with("containerd-shim") => {
                let size = value.trim().trim_end_matches(" kB").parse::<u64>();
                assert!(size.is_ok_and(|size| size < MOST), "{name} has had {value}");
                seen.push(name);
            }
            _ => {}
        }
    }
    assert!(seen.contains(&"tared"), "{seen:?}");
}
