//! How images and containers are kept: storage drivers, and images of very many layers.

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use tare_integration::archive::{DockerArchive, Tar};
use tare_integration::{Host, images, on_host_with, until};

/// Waits until the snapshots of removed images are deleted, which may take longer than the answer.
fn nothing_is_left(host: &Host) {
    let snapshots = host.places().data_root.join("snapshots");
    let is_empty = || std::fs::read_dir(&snapshots).is_ok_and(|mut list| list.next().is_none());
    until("the snapshots' deletion", || is_empty().then_some(()));
}

/// Does with containers what depends on how their files are kept.
fn use_containers(host: &Host, driver: &str) {
    host.docker_with_input("load", &images::busybox_archive()).ok();
    assert_eq!(host.docker("info --format '{{.Driver}}'").ok(), driver);
    assert_eq!(host.inspect("busybox", "{{.GraphDriver.Name}}"), driver);
    let script = "echo mine > /etc/passwd && rm /bin/awk && mkdir -p /new/deep && \
                  ln /etc/group /etc/group-too && rm -r /usr && mkdir /usr && echo x > /usr/x && \
                  mknod /new/pipe p";
    host.docker(&format!("run --name box -w /work busybox sh -c '{script}'")).ok();
    assert_eq!(host.inspect("box", "{{.Driver}}"), driver);
    let diff = host.docker("diff box");
    let mut lines: Vec<&str> = diff.ok().lines().filter(|line| !line.contains("group")).collect();
    lines.sort_unstable();
    // Whether a directory that was made anew counts as changed depends on the driver.
    lines.retain(|line| *line != "C /usr");
    let expected = [
        "A /new",
        "A /new/deep",
        "A /new/pipe",
        "A /usr/x",
        "A /work",
        "C /bin",
        "C /etc",
        "C /etc/passwd",
        "D /bin/awk",
    ];
    assert_eq!(lines, expected);

    // Overlay has a copy of the file that got one more name.
    let size = host.docker("ps -as --format '{{.Size}}'");
    assert!(["7B ", "48B "].iter().any(|bytes| size.ok().starts_with(bytes)), "{}", size.ok());
    host.docker("cp box:/etc/passwd - | tar -xO | grep -x mine").ok();
    host.docker("export box | tar -t | grep -x new/pipe").ok();
    host.docker("cp /etc/hostname box:/new/copied").ok();

    host.docker("commit box kept").ok();
    let script = "grep -qx mine /etc/passwd && ! test -e /bin/awk && test -p /new/pipe && \
                  test -s /new/copied && ls /usr | grep -qx x && \
                  test $(stat -c %h /etc/group) = 2 && echo all there";
    assert_eq!(host.docker(&format!("run --rm kept sh -c '{script}'")).ok(), "all there");
    assert_eq!(host.docker("run --rm busybox grep -c alice /etc/passwd").ok(), "1");

    host.docker("run -d --name up --read-only busybox sleep 1000").ok();
    host.docker("cp up:/bin/busybox - | tar -t").ok();
    assert_eq!(host.docker("exec up touch /bin/x").code, 1);
    host.docker("restart -t 0 up").ok();
    host.docker("rm -f up box").ok();
    host.docker("rmi kept busybox").ok();
    nothing_is_left(host);
}

#[test]
fn overlay_keeps_containers() {
    on_host_with(&["--storage-driver", "overlay2"], |host| use_containers(host, "overlay2"));
}

#[test]
fn copies_keep_containers() {
    on_host_with(&["--storage-driver", "vfs"], |host| use_containers(host, "vfs"));
}

#[test]
fn images_of_erofs_keep_layers() {
    on_host_with(&["--storage-driver", "erofs"], |host| use_containers(host, "erofs"));
}

/// An image of this many layers, the lowest of which has programs.
fn deep_image(layers: usize) -> Vec<u8> {
    let above = (1..layers).map(|number| {
        let text = number.to_string();
        let tar = Tar::new().file("top", 0o644, text.as_bytes());
        tar.file(&format!("layers/{number}"), 0o644, text.as_bytes()).bytes()
    });
    DockerArchive {
        tags: vec!["deep:latest".to_owned()],
        layers: std::iter::once(images::busybox_tar().to_vec()).chain(above).collect(),
        config: json!({ "Env": ["PATH=/bin"] }),
    }
    .bytes()
}

#[test]
fn five_hundred_layers_run_and_are_committed_and_removed() {
    on_host_with(&[], |host| {
        host.docker_with_input("load -q", &deep_image(500)).ok();
        let count = "ls /layers | wc -l && cat /top";
        assert_eq!(host.docker(&format!("run --rm deep sh -c '{count}'")).ok(), "499\n499");
        // What is committed has more layers than the kernel stacks.
        let mut name = "deep".to_owned();
        for number in 500..503 {
            let script = format!("echo {number} > /layers/{number}; rm /layers/{}", number - 490);
            host.docker(&format!("run --name box {name} sh -c '{script}'")).ok();
            host.docker(&format!("cp box:/layers/{number} - | tar -xO | grep -x {number}")).ok();
            name = format!("deep-{number}");
            host.docker(&format!("commit box {name}")).ok();
            host.docker("rm box").ok();
        }
        assert_eq!(host.docker(&format!("run --rm {name} sh -c '{count}'")).ok(), "499\n499");
        host.docker(&format!("run --rm {name} test ! -e /layers/12 -a -e /layers/502")).ok();
        host.docker("rmi deep deep-500 deep-501 deep-502").ok();
        nothing_is_left(host);
    });
}

/// Puts the daemon's data on a file system of its own, with quotas of projects; says whether this
/// kernel has them (CONFIG_QFMT_V2).
fn with_quotas(host: &Host) -> std::io::Result<bool> {
    let disk = host.scratch("disk").join("image");
    let file = std::fs::File::create(&disk)?;
    file.set_len(256 << 20)?;
    let features = ["-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"];
    let made = Command::new("mkfs.ext4").args(features).arg(&disk).status();
    assert!(made?.success(), "mkfs.ext4 (e2fsprogs) failed");
    let (disk, data) = (disk.display().to_string(), host.places().data_root.display().to_string());
    host.end_daemon(Signal::TERM);
    let mounted = host.run("mount", &["-o", "loop,prjquota", &disk, &data]);
    host.start_daemon();
    Ok(mounted.code == 0)
}

/// The daemon has its first data again.
fn without_disk(host: &Host) {
    host.remove_everything();
    host.end_daemon(Signal::TERM);
    let data = host.places().data_root.display().to_string();
    host.run("umount", &[&data]).ok();
    host.start_daemon();
}

#[test]
fn a_limit_is_the_containers_own() {
    for driver in ["overlay2", "vfs"] {
        on_host_with(&["--storage-driver", driver], |host| {
            if with_quotas(host).unwrap() {
                limited(host, driver);
                without_disk(host);
            } else {
                refused(host);
            }
        });
    }
}

fn limited(host: &Host, driver: &str) {
    host.docker_with_input("load -q", &images::busybox_archive()).ok();
    let fill = "dd if=/dev/zero of=/file bs=1M count=30";
    let limit = "--storage-opt size=16M";
    let full = host.docker(&format!("run --name small {limit} busybox {fill}"));
    assert_ne!(full.code, 0, "{driver}: {full:?}");
    let no_room = ["No space left", "quota exceeded"];
    assert!(no_room.iter().any(|text| full.stderr.contains(text)), "{driver}: {full:?}");
    assert_eq!(host.inspect("small", "{{.HostConfig.StorageOpt.size}}"), "16M");
    // Others are not limited, and it has all of its room again when it has made some.
    host.docker(&format!("run --rm busybox {fill}")).ok();
    host.docker(&format!("run --rm {limit} busybox dd if=/dev/zero of=/file bs=1M count=8")).ok();
    host.end_daemon(Signal::KILL);
    host.start_daemon();
    assert_ne!(host.docker("start -a small").code, 0, "{driver}: the limit is there still");
    host.docker("rm small").ok();
    stays_limited(host, driver);
    limited_volumes(host);
    if driver == "overlay2" {
        // More layers than the kernel stacks: files of the lowest get names in the container's own.
        host.docker_with_input("load -q", &deep_image(503)).ok();
        host.docker(&format!("run --rm {limit} deep busybox cat /top")).ok();
    }
    for _ in 0..3 {
        host.docker(&format!("run --rm {limit} busybox dd if=/dev/zero of=/f bs=1M count=8")).ok();
    }
}

/// Volumes, and copies of them, have limits of their own.
fn limited_volumes(host: &Host) {
    host.docker("volume create -o size=16M data").ok();
    let fill = |volume: &str, size: u32| {
        let fill = format!("dd if=/dev/zero of=/d/file bs=1M count={size}");
        host.docker(&format!("run --rm -v {volume}:/d busybox {fill}")).code
    };
    assert_ne!(fill("data", 30), 0);
    assert_eq!(fill("data", 8), 0);
    assert_eq!(host.post("/volumes/data/clone", r#"{"Name": "copy"}"#).status, 201);
    assert_ne!(fill("copy", 30), 0);
    assert_eq!(host.post("/volumes/copy/rename?name=other", "").status, 204);
    host.docker("volume rm data other").ok();
    host.docker("volume create data").ok();
    assert_eq!(fill("data", 30), 0);
    host.docker("volume rm data").ok();
}

/// A file that counted for another project would be beyond the limit.
fn stays_limited(host: &Host, driver: &str) {
    // The host's own program and libraries, since no small image has any that does this.
    let libraries = "/host/lib/x86_64-linux-gnu:/host/usr/lib/x86_64-linux-gnu";
    let chattr = format!(
        "/host/lib64/ld-linux-x86-64.so.2 --library-path {libraries} /host/usr/bin/chattr -p 7"
    );
    let change = format!("busybox busybox sh -c 'touch /file && {chattr} /file'");
    host.docker(&format!("run --rm -v /:/host:ro {change}")).ok();
    let changed = host.docker(&format!("run --rm -v /:/host:ro --storage-opt size=16M {change}"));
    assert_ne!(changed.code, 0, "{driver}: {changed:?}");
    assert!(changed.stderr.contains("Operation not permitted"), "{driver}: {changed:?}");
}

fn refused(host: &Host) {
    host.docker_with_input("load -q", &images::busybox_archive()).ok();
    let refused = host.docker("create --storage-opt size=10G busybox");
    let text = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
    assert!(refused.code == 1 && refused.stderr.contains(text), "{refused:?}");
    let refused = host.docker("volume create -o size=10G data");
    assert!(refused.stderr.contains("quota size requested but no quota support"), "{refused:?}");
    let unknown = host.docker("create --storage-opt speed=10G busybox");
    assert!(unknown.stderr.contains("Unknown option speed"), "{unknown:?}");
    host.docker("run --rm busybox true").ok();
}
