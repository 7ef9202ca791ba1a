//! Ways out of a container that other runtimes once had, and that must stay closed.

use crate::bundle::Bundle;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// CVE-2019-19921, CVE-2023-27561: /proc or /sys of the image is a link.
#[test]
fn kernel_file_systems_are_not_mounted_through_links() {
    for place in ["proc", "sys"] {
        let bundle = Bundle::new(&["true"]);
        fs::create_dir(bundle.image("elsewhere")).unwrap();
        symlink("/elsewhere", bundle.image(place)).unwrap();
        let error = bundle.tare(&["run", "c"]).fails(1);
        assert!(error.contains("must be mounted on ordinary directory"), "{error}");
    }
}

/// CVE-2026-41579: /dev of the image is a link to a place on the host.
#[test]
fn a_link_for_dev_stays_inside() {
    let bundle = Bundle::new(&["true"]);
    let host = bundle.path().join("host");
    fs::create_dir(&host).unwrap();
    symlink(&host, bundle.image("dev")).unwrap();
    bundle.tare(&["run", "c"]);
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
}

/// CVE-2021-30465 and its kin: places of mounts are links out of the image.
#[test]
fn mount_places_stay_inside() {
    let mut bundle = Bundle::new(&["true"]);
    let host = bundle.path().join("host");
    fs::create_dir(&host).unwrap();
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    symlink(&host, bundle.image("link")).unwrap();
    symlink("../../../../../../../..", bundle.image("up")).unwrap();
    let outside = host.strip_prefix("/").unwrap();
    let up = Path::new("/up").join(outside).join("made");
    bundle.mount("/link/made", "bind", &volume, &["bind"]);
    bundle.mount(up.to_str().unwrap(), "tmpfs", Path::new("tmpfs"), &[]);
    bundle.tare(&["run", "c"]).ok();
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
}

/// CVE-2025-31133: the image's /dev/null, or what is at its path, masks nothing.
#[test]
fn masks_are_made_of_the_null_device_only() {
    let mut bundle = Bundle::script("cat /secret; ls /secrets; stat -c %t:%T /secret");
    fs::write(bundle.image("secret"), "seen\n").unwrap();
    fs::create_dir(bundle.image("secrets")).unwrap();
    fs::write(bundle.image("secrets/one"), "").unwrap();
    bundle.edit(|config| {
        config["linux"]["maskedPaths"] = serde_json::json!(["/secret", "/secrets", "/none"]);
    });
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "1:3\n");

    // A /dev that the bundle brings has a plain file for its null device.
    let dev = bundle.path().join("dev");
    fs::create_dir_all(dev.join("pts")).unwrap();
    for name in ["null", "shm", "mqueue"] {
        match name {
            "null" => fs::write(dev.join(name), "mine\n").unwrap(),
            name => fs::create_dir(dev.join(name)).unwrap(),
        }
    }
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    });
    bundle.mount("/dev", "bind", &dev, &["rbind"]);
    let error = bundle.tare(&["run", "c"]).fails(1);
    assert!(error.contains("null"), "{error}");
}

/// The host's null device keeps its owner and mode, whoever runs with it as a stream.
#[test]
fn the_hosts_null_device_is_left_alone() {
    let before = fs::metadata("/dev/null").unwrap();
    let mut bundle = Bundle::script("chmod 600 /dev/null /proc/kcore /proc/keys; exit 0");
    bundle
        .edit(|config| config["process"]["user"] = serde_json::json!({ "uid": 1000, "gid": 1000 }));
    bundle.tare(&["run", "c"]).ok();
    bundle.edit(|config| config["process"]["user"] = serde_json::json!({ "uid": 0, "gid": 0 }));
    bundle.allow(&["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
    bundle.tare(&["run", "c"]).ok();
    let after = fs::metadata("/dev/null").unwrap();
    assert_eq!((before.mode(), before.uid()), (after.mode(), after.uid()));
}

/// CVE-2022-29162: no capability is inheritable.
#[test]
fn no_capability_is_inheritable() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.allow(&["CAP_SYS_ADMIN", "CAP_NET_RAW"]);
    bundle.start("c");
    let pid = bundle.state("c")["pid"].to_string();
    let init = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let exec = bundle.tare(&["exec", "--cap", "CAP_CHOWN", "c", "cat", "/proc/self/status"]).ok();
    for status in [init, exec] {
        assert!(status.contains("CapInh:\t0000000000000000"), "{status}");
    }
}

/// CVE-2026-30892: an id out of range is refused, and does not become root.
#[test]
fn users_out_of_range_are_refused() {
    let mut bundle = Bundle::new(&["id"]);
    for (uid, gid) in [(4_294_967_295_u64, 0_u64), (0, 4_294_967_295), (4_294_967_296, 0)] {
        bundle.edit(|config| {
            config["process"]["user"] = serde_json::json!({ "uid": uid, "gid": gid });
        });
        assert_eq!(bundle.tare(&["run", "c"]).status, 1, "{uid}:{gid}");
    }
    let running = Bundle::new(&["sleep", "1000"]);
    running.start("c");
    // Nothing at all, in place of a user, is as if the flag weren't there.
    assert_eq!(running.tare(&["exec", "--user=", "c", "id"]).status, 0);
    for user in ["-1", "4294967295", "4294967296", "0:-1", "a", "1:"] {
        let user = format!("--user={user}");
        let ran = running.tare(&["exec", &user, "c", "id"]);
        assert_eq!((ran.status, ran.out.as_str()), (255, ""), "{user}");
    }
}

/// Nothing of what a mount does inside appears on the host, nor outlives the container.
#[test]
fn the_hosts_mounts_stay_as_they_are() {
    for propagation in
        ["", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"]
    {
        let mut bundle = Bundle::script("mount -t tmpfs x /tmp");
        bundle.allow(&["CAP_SYS_ADMIN"]);
        bundle.edit(|config| config["linux"]["rootfsPropagation"] = propagation.into());
        bundle.tare(&["run", "c"]).ok();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let path = bundle.path().to_str().unwrap();
        assert!(!mounts.contains(path), "{propagation}: {mounts}");
    }
}
