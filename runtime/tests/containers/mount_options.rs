//! What becomes of a mount's options.

use crate::bundle::{Bundle, Ran, TARE};
use crate::mounts::options;
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

#[test]
fn access_times_are_kept_as_mount_8_has_it() {
    let mut bundle = Bundle::new(&["cat", "/proc/mounts"]);
    bundle.mount("/from", "tmpfs", Path::new("tmpfs"), &["noatime", "nodev", "nosymfollow"]);
    let from = bundle.image("from");
    for (place, option) in [
        ("/as-it-is", "rprivate"),
        ("/taken-back", "atime"),
        ("/directories", "nodiratime"),
        ("/strict", "strictatime"),
        ("/relative", "relatime"),
        ("/tree", "rstrictatime"),
    ] {
        bundle.mount(place, "bind", &from, &["bind", option]);
    }
    let mounts = bundle.tare(&["run", "c"]).ok();
    let has = |place: &str, option: &str| options(&mounts, place).iter().any(|one| one == option);
    assert!(has("/as-it-is", "noatime") && has("/as-it-is", "nosymfollow"), "{mounts}");
    assert!(has("/taken-back", "noatime") && !has("/taken-back", "nodev"), "{mounts}");
    assert!(has("/directories", "nodiratime") && has("/directories", "relatime"), "{mounts}");
    for place in ["/strict", "/tree"] {
        assert!(!has(place, "noatime") && !has(place, "relatime"), "{mounts}");
    }
    assert!(has("/relative", "relatime") && has("/tree", "nodev"), "{mounts}");
}

#[test]
fn in_a_user_namespace_what_the_host_locks_is_kept() {
    let mut bundle = Bundle::new(&["cat", "/proc/mounts"]);
    bundle.map_ids();
    let from = bundle.path().join("from");
    fs::create_dir(&from).unwrap();
    let mut with = |wanted: &[&str], options: &str| {
        bundle.edit(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/to");
            mounts.push(json!({
                "destination": "/to", "type": "bind", "source": from, "options": wanted,
            }));
        });
        let script = format!(
            "mount --bind {from} {from} && mount -o remount,bind,{options} {from} && \
             exec {TARE} --root containers run c",
            from = from.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).current_dir(bundle.path());
        Ran::from(command.output().unwrap())
    };
    let mounts = with(&["bind", "nosuid"], "ro,noexec,nosymfollow").ok();
    let kept = options(&mounts, "/to");
    for option in ["ro", "noexec", "nosuid"] {
        assert!(kept.iter().any(|one| one == option), "{option}: {kept:?}");
    }
    assert!(!kept.iter().any(|one| one == "nosymfollow"), "the kernel does not lock this one");
    for (wanted, options) in [("rw", "ro"), ("exec", "noexec"), ("strictatime", "noatime")] {
        let error = with(&["bind", wanted], options).fails(1);
        assert!(error.contains("runc run failed: unable to start container process"), "{error}");
        assert!(error.contains("error mounting") && error.contains("not permitted"), "{error}");
    }
}

#[test]
fn a_new_directory_has_the_permissions_asked_for() {
    let mut bundle = Bundle::new(&["stat", "-c", "%a %u %g", "/mode", "/kept"]);
    fs::create_dir(bundle.image("kept")).unwrap();
    fs::set_permissions(bundle.image("kept"), std::os::unix::fs::PermissionsExt::from_mode(0o710))
        .unwrap();
    bundle.mount("/mode", "tmpfs", Path::new("tmpfs"), &["mode=1500", "uid=5", "gid=6"]);
    bundle.mount("/kept", "tmpfs", Path::new("tmpfs"), &["rw"]);
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "1500 5 6\n710 0 0\n");
    assert_eq!(fs::metadata(bundle.image("mode")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn what_is_said_of_a_tree_holds_for_its_leaves() {
    let mut bundle = Bundle::new(&["cat", "/proc/mounts"]);
    let tmpfs = Path::new("tmpfs");
    bundle.mount("/from", "tmpfs", tmpfs, &[]);
    bundle.mount("/from/below", "tmpfs", tmpfs, &[]);
    let from = bundle.image("from");
    let mut expected = Vec::new();
    for (number, (option, given)) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnodiratime", "nodiratime"),
        ("rnoatime", "noatime"),
        ("rrelatime", "relatime"),
        ("rnosymfollow", "nosymfollow"),
    ]
    .into_iter()
    .enumerate()
    {
        let place = format!("/to{number}");
        bundle.mount(&place, "bind", &from, &["rbind", option]);
        expected.push((place, given));
    }
    bundle.mount("/top", "bind", &from, &["rbind", "ro"]);
    // What was set for all is taken back for all.
    bundle.mount("/back", "bind", &bundle.image("to0"), &["rbind", "rrw"]);
    let mounts = bundle.tare(&["run", "c"]).ok();
    let has = |place: &str, option: &str| options(&mounts, place).iter().any(|one| one == option);
    for (place, option) in expected {
        assert!(has(&place, option), "{place}: {option} in {mounts}");
        assert!(has(&format!("{place}/below"), option), "{place}/below: {option} in {mounts}");
    }
    assert!(has("/top", "ro") && has("/top/below", "rw"), "{mounts}");
    assert!(has("/back", "rw") && has("/back/below", "rw"), "{mounts}");
}

#[test]
fn propagation_is_as_asked() {
    let mut bundle = Bundle::new(&["cat", "/proc/self/mountinfo"]);
    let tmpfs = Path::new("tmpfs");
    bundle.mount("/from", "tmpfs", tmpfs, &["shared"]);
    bundle.mount("/from/below", "tmpfs", tmpfs, &["shared"]);
    let from = bundle.image("from");
    let kinds = ["private", "rprivate", "slave", "rslave", "shared", "unbindable", "runbindable"];
    for kind in kinds {
        bundle.mount(&format!("/{kind}"), "bind", &from, &["rbind", kind]);
    }
    bundle.mount("/both", "bind", &from, &["rbind", "rslave", "rshared"]);
    let table = bundle.tare(&["run", "c"]).ok();
    let tags = |place: &str| -> String {
        let mount = table.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap();
        let tags = mount.split(' ').skip(6).take_while(|tag| *tag != "-");
        tags.map(|tag| tag.split(':').next().unwrap()).collect::<Vec<_>>().join(" ")
    };
    for (place, top, below) in [
        ("/private", "", "shared"),
        ("/rprivate", "", ""),
        ("/slave", "master", "shared"),
        ("/rslave", "master", "master"),
        ("/shared", "shared", "shared"),
        ("/unbindable", "unbindable", "shared"),
        ("/runbindable", "unbindable", "unbindable"),
        ("/both", "shared master", "shared master"),
    ] {
        let below_it = format!("{place}/below");
        assert_eq!((tags(place).as_str(), tags(&below_it).as_str()), (top, below), "{place}");
    }
}
