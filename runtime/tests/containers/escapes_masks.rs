//! Ways to have what is written to, or put over, the kernel's files written or put elsewhere.

use crate::bundle::Bundle;
use crate::racer::{Canary, Racer};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A /dev that the bundle brings, and that somebody else has too. It has a null device.
fn shared_dev(bundle: &mut Bundle) -> PathBuf {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let dev = bundle.path().join("dev");
    fs::create_dir_all(dev.join("pts")).unwrap();
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, dev.join("null"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    });
    bundle.mount("/dev", "bind", &dev, &["rbind"]);
    dev
}

/// runc's CVE-2025-31133, youki's CVE-2025-62161: the null device that covers masked files is
/// exchanged for a link to a file of the kernel's, which would then be there to be written.
#[test]
fn masks_are_null_devices_whatever_the_null_devices_name_leads_to() {
    let mut bundle = Bundle::script("stat -c %t:%T /secret");
    fs::write(bundle.image("secret"), "seen\n").unwrap();
    bundle.edit(|config| {
        config["linux"]["maskedPaths"] = serde_json::json!(["/secret", "/proc/keys"]);
    });
    let dev = shared_dev(&mut bundle);
    symlink("/proc/sys/kernel/hostname", dev.join("other")).unwrap();
    let racer = Racer::exchange(&dev.join("null"), &dev.join("other"));
    let mut covered = 0;
    racer.against(24, || {
        let ran = bundle.tare(&["run", "c"]);
        assert!(ran.status != 0 || ran.out == "1:3\n", "{ran:?}");
        covered += u64::from(ran.status == 0);
    });
    assert!(covered > 0, "it never was the null device's turn");
}

/// runc's CVE-2025-52565, youki's CVE-2025-62596: the terminal that is shown at /dev/console comes
/// from a directory that only looks like a devpts, where its name is a link.
#[test]
fn a_terminal_comes_from_a_real_devpts_only() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let mut bundle = Bundle::new(&["true"]);
    let dev = shared_dev(&mut bundle);
    let mode = Mode::from_raw_mode(0o666);
    let node = dev.join("pts/ptmx");
    mknodat(CWD, &node, FileType::CharacterDevice, mode, makedev(5, 2)).unwrap();
    for number in 0..64 {
        symlink("/proc/sys/kernel/hostname", dev.join(format!("pts/{number}"))).unwrap();
    }
    bundle.edit(|config| config["process"]["terminal"] = true.into());
    let listener = UnixListener::bind(bundle.path().join("console")).unwrap();
    let error = bundle.tare(&["create", "--console-socket", "console", "c"]).fails(1);
    assert!(error.contains("not on a real devpts"), "{error}");
    drop(listener);

    // The host's own, by a link: it is none below the container's root.
    fs::remove_dir_all(dev.join("pts")).unwrap();
    symlink("../../../../../../../../dev/pts", dev.join("pts")).unwrap();
    fs::remove_file(bundle.path().join("console")).unwrap();
    let listener = UnixListener::bind(bundle.path().join("console")).unwrap();
    bundle.tare(&["create", "--console-socket", "console", "c"]).fails(1);
    drop(listener);
}

/// The place of /dev/console is exchanged for a link to the host while the terminal is put there.
#[test]
fn a_terminal_is_put_over_no_file_of_the_hosts() {
    let canary = Canary::new();
    let mut bundle = Bundle::new(&["true"]);
    let dev = shared_dev(&mut bundle);
    bundle.mount("/dev/pts", "devpts", Path::new("devpts"), &["newinstance", "ptmxmode=0666"]);
    bundle.edit(|config| config["process"]["terminal"] = true.into());
    fs::write(dev.join("console"), "").unwrap();
    symlink(canary.as_a_link().join("file"), dev.join("link")).unwrap();
    let racer = Racer::exchange(&dev.join("console"), &dev.join("link"));
    let _listener = UnixListener::bind(bundle.path().join("socket")).unwrap();
    let mut made = 0;
    racer.against(16, || {
        let created = bundle.tare(&["create", "--console-socket", "socket", "c"]);
        made += u64::from(created.status == 0);
        bundle.tare(&["delete", "--force", "c"]).ok();
    });
    assert!(made > 0, "no container was made");
    canary.is_untouched();
}

/// runc's CVE-2025-52881, CVE-2019-16884: while a container is made, another file is mounted over a
/// setting in its /proc, and takes what was meant for the kernel. A hook of the host's stands for
/// who can do that, in the moment at which it is easiest.
#[test]
fn a_setting_is_written_to_the_kernel_or_nowhere() {
    let canary = Canary::new();
    let diversions = [
        ("sys/net/ipv4/ip_forward", canary.directory().join("file")),
        ("sys/net/ipv4", canary.directory()),
        ("sys", PathBuf::from("/proc/sys")),
    ];
    for (place, what) in diversions {
        let mut bundle = Bundle::new(&["true"]);
        let place = bundle.image("proc").join(place);
        let script = format!(
            "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); \
             nsenter --target $pid --mount --net mount --bind {} {} && touch {}",
            what.display(),
            place.display(),
            bundle.path().join("diverted").display()
        );
        bundle.edit(|config| {
            config["linux"]["sysctl"] = serde_json::json!({ "net.ipv4.ip_forward": "1" });
            config["hooks"]["createRuntime"] =
                serde_json::json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
        });
        let error = bundle.tare(&["run", "c"]).fails(1);
        assert!(bundle.path().join("diverted").exists(), "nothing was diverted: {error}");
        assert!(error.contains("/proc/sys/net/ipv4/ip_forward"), "{error}");
        canary.is_untouched();
    }
}

/// What lies over /proc in a container that runs is not believed by whoever joins it.
#[test]
fn a_forged_proc_misleads_nobody_who_joins() {
    let canary = Canary::new();
    let mut bundle = Bundle::script(
        "mount -t tmpfs x /proc; mkdir -p /proc/self/attr /proc/self/fd /proc/sys; \
         for n in 0 1 2 3 4 5 6 7 8 9; do ln -s /etc/none /proc/self/fd/$n; done; \
         ln -s /bin/busybox /proc/self/exe; touch /tmp/ready; exec sleep 1000",
    );
    for name in ["mkdir", "ln"] {
        symlink("busybox", bundle.image("bin").join(name)).unwrap();
    }
    bundle.edit(|config| config["root"]["readonly"] = false.into());
    bundle.allow(&["CAP_SYS_ADMIN"]);
    bundle.start("c");
    bundle.wait_until("the forgery is there", || bundle.image("tmp/ready").exists());
    assert_eq!(bundle.tare(&["exec", "c", "ls", "/proc"]).ok(), "self\nsys\n");
    assert_eq!(bundle.tare(&["exec", "--user", "7:8", "c", "id", "-u"]).ok(), "7\n");
    for cwd in ["/proc/self/fd/3", "/proc/self"] {
        bundle.tare(&["exec", "--cwd", cwd, "c", "true"]);
    }
    canary.is_untouched();
}

/// A container may put another root over its own: who joins it then is there, not on the host.
#[test]
fn a_root_that_was_exchanged_is_joined_as_it_is() {
    let mut bundle = Bundle::script(
        "mount -t tmpfs x /tmp; mkdir -p /tmp/bin /tmp/old; cp /bin/busybox /tmp/bin/ls; \
         cp /bin/busybox /tmp/bin/sleep; cp /bin/busybox /tmp/bin/touch; cd /tmp; \
         pivot_root . old; ls /old/bin > /dev/null; exec sleep 1000",
    );
    for name in ["mkdir", "cp", "pivot_root"] {
        symlink("busybox", bundle.image("bin").join(name)).unwrap();
    }
    bundle.allow(&["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]);
    bundle.start("c");
    bundle.wait_until("the root is another", || {
        bundle.tare(&["exec", "c", "ls", "/"]).out == "bin\nold\n"
    });
    let outside = bundle.tare(&["exec", "--cwd", "/..", "c", "ls", "../../.."]);
    assert_eq!(outside.out, "bin\nold\n");
}
