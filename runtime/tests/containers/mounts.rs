//! What a container finds mounted, and where.

use crate::bundle::{Bundle, Ran, TARE};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// The options of the mount at `place`, as /proc/mounts has them.
pub(crate) fn options(mounts: &str, place: &str) -> Vec<String> {
    let mut lines = mounts.lines().filter_map(|line| line.split_once(&format!(" {place} ")));
    let (_, rest) = lines.next_back().unwrap_or_else(|| panic!("{place} is not in {mounts}"));
    rest.split(' ').nth(1).unwrap().split(',').map(str::to_owned).collect()
}

/// Runs `tare` with `args` in a mount namespace of its own, with this propagation, and then shows
/// what is mounted there.
fn in_own_mounts(bundle: &Bundle, propagation: &str, args: &str) -> Ran {
    let script = format!("{TARE} --root containers {args}; s=$?; cat /proc/self/mounts; exit $s");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", propagation, "sh", "-c", &script]);
    command.current_dir(bundle.path());
    Ran::from(command.output().unwrap())
}

#[test]
fn a_source_may_be_a_mount_made_just_before() {
    let mut bundle = Bundle::script("cat /final/file; stat -c %u /mapped/file; ls /plain");
    let source = bundle.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "found\n").unwrap();
    std::os::unix::fs::chown(source.join("file"), Some(100), Some(0)).unwrap();
    let mounted = bundle.image("mnt");
    bundle.mount("/mnt", "bind", &source, &["bind"]);
    // A destination may be named as the host sees it.
    let place = bundle.image("final");
    bundle.mount(place.to_str().unwrap(), "bind", &mounted, &["rbind", "rprivate"]);
    bundle.mount("relative/../mapped", "bind", &mounted, &["bind"]);
    bundle.edit(|config| {
        let mapping = json!([{ "containerID": 100, "hostID": 5000, "size": 1 }]);
        let mount = config["mounts"].as_array_mut().unwrap().last_mut().unwrap();
        mount["uidMappings"] = mapping.clone();
        mount["gidMappings"] = mapping;
    });
    // A relative source counts from the bundle.
    bundle.mount("/plain", "bind", Path::new("source"), &["bind"]);
    let ran = bundle.tare(&["run", "c"]);
    assert!(ran.err.contains("level=warning"), "{}", ran.err);
    assert!(
        ran.err.contains("mount destination relative/../mapped is not absolute"),
        "{}",
        ran.err
    );
    assert_eq!(ran.ok(), "found\n5000\nfile\n");
}

#[test]
fn a_file_goes_where_a_link_to_nothing_points() {
    let mut bundle = Bundle::new(&["cat", "/jump/hosts"]);
    symlink("/jump/hosts", bundle.image("hosts")).unwrap();
    symlink("../../tmp/far", bundle.image("jump")).unwrap();
    let source = bundle.path().join("source");
    fs::write(&source, "hosts\n").unwrap();
    bundle.mount("/hosts", "bind", &source, &["bind"]);
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "hosts\n");
    assert!(bundle.image("tmp/far/hosts").is_file(), "inside the root");
}

#[test]
fn a_path_is_masked_once() {
    let mut bundle = Bundle::new(&["grep", "-cE", " /(dir|file) ", "/proc/mounts"]);
    fs::create_dir(bundle.image("dir")).unwrap();
    fs::write(bundle.image("file"), "secret").unwrap();
    let paths = ["/dir", "/file", "/dir/", "/./file", "/missing", "/file"];
    bundle.edit(|config| config["linux"]["maskedPaths"] = paths.to_vec().into());
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "2\n");
}

#[test]
fn a_container_among_the_hosts_mounts_leaves_one_below_its_root_or_none() {
    let mut bundle = Bundle::new(&["true"]);
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "mount");
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    });
    let root = fs::canonicalize(bundle.image(".")).unwrap().display().to_string();
    let count = |mounts: &str| mounts.lines().filter(|line| line.contains(&root)).count();
    let mounts = in_own_mounts(&bundle, "private", "run c").ok();
    assert!(count(&mounts) > 1, "{mounts}");
    assert!(options(&mounts, &root).iter().any(|option| option == "ro"), "{mounts}");

    bundle.edit(|config| config["process"]["args"] = json!(["nope"]));
    let ran = in_own_mounts(&bundle, "private", "run c");
    assert_eq!((ran.status, count(&ran.out)), (1, 0), "{}", ran.out);
}

#[test]
fn the_roots_propagation_is_as_asked_where_the_host_shares_all() {
    let mut bundle = Bundle::new(&["cat", "/proc/self/mountinfo"]);
    for (asked, tag) in [("slave", " master:"), ("rslave", " master:"), ("shared", " shared:")] {
        bundle.edit(|config| config["linux"]["rootfsPropagation"] = asked.into());
        let out = in_own_mounts(&bundle, "shared", "run c").ok();
        let root = out.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        assert!(root.contains(tag), "{asked}: {root}");
    }
}

#[test]
fn ids_of_a_mount_are_mapped_as_those_of_the_container() {
    let mut first = Bundle::new(&["sleep", "1000"]);
    first.map_ids();
    first.edit(|config| {
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map] = json!([
                { "containerID": 0, "hostID": 0, "size": 1 },
                { "containerID": 1, "hostID": 200_001, "size": 1000 },
            ]);
        }
    });
    let source = first.path().join("source");
    fs::create_dir_all(source.join("below")).unwrap();
    for file in ["file", "below/file"] {
        fs::write(source.join(file), "").unwrap();
        std::os::unix::fs::chown(source.join(file), Some(7), Some(8)).unwrap();
    }
    first.mount("/mapped", "bind", &source, &["rbind", "ridmap"]);
    let look = ["exec", "c", "stat", "-c", "%u:%g", "/mapped/file", "/mapped/below/file"];
    first.start("c");
    assert_eq!(first.tare(&look).ok(), "7:8\n7:8\n");

    let owner = format!("/proc/{}/ns/user", first.state("c")["pid"]);
    let mut joined = Bundle::new(&["stat", "-c", "%u:%g", "/mapped/file"]);
    joined.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user", "path": owner }));
    });
    joined.mount("/mapped", "bind", &source, &["bind", "idmap"]);
    assert_eq!(joined.tare(&["run", "c"]).ok(), "7:8\n");

    let mut none = Bundle::new(&["true"]);
    none.mount("/mapped", "bind", &source, &["bind", "idmap"]);
    assert!(none.tare(&["run", "c"]).fails(1).contains("must have both uid and gid mappings"));
}

#[test]
fn devices_have_their_mode_and_owner() {
    let mut bundle = Bundle::new(&["stat", "-c", "%F %a %u %g", "/dev/mine", "/deep/er/pipe"]);
    let devices = json!([
        { "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 5,
          "gid": 6 },
        { "path": "/deep/er/pipe", "type": "p", "fileMode": 0o600, "uid": 7 },
    ]);
    bundle.edit(|config| config["linux"]["devices"] = devices.clone());
    let out = bundle.tare(&["run", "c"]).ok();
    assert_eq!(out, "character special file 640 5 6\nfifo 600 7 0\n");
    bundle.map_ids();
    // In a user namespace devices come from the host, which has them all but one.
    let error = bundle.tare(&["run", "c"]).fails(1);
    assert!(error.contains("error creating device node /dev/mine"), "{error}");
    bundle.edit(|config| {
        config["linux"]["devices"] = json!([devices[1]]);
        config["process"]["args"] = json!(["stat", "-c", "%F %a %u", "/deep/er/pipe"]);
    });
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "fifo 600 7\n");
}

/// The kernel gives a new procfs to whoever sees a whole one already, and the host's lies below a
/// root that was moved over it.
#[test]
fn a_root_that_is_moved_gives_no_new_procfs() {
    let script = "mount -t proc none /proc && : > /proc/sysrq-trigger";
    let mut bundle = Bundle::new(&["busybox", "unshare", "-mrpf", "sh", "-euc", script]);
    let mut capabilities = bundle.capabilities("bounding");
    capabilities.push("CAP_SETFCAP".to_owned());
    let names: Vec<&str> = capabilities.iter().map(String::as_str).collect();
    bundle.allow(&names);
    let error = bundle.tare(&["run", "--no-pivot", "c"]).fails(1);
    assert!(error.contains("mount: permission denied"), "{error}");
}
