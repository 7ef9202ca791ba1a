//! Ways out of a plain user's container that other runtimes once had, and that must stay closed.

use crate::bundle::{Bundle, Ran};
use crate::user::{Cgroups, GRANTED, ID, Ids, User};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Prints what of the cgroups can be opened for writing, and where a cgroup can be made.
const WRITABLE: &str = "busybox find /sys/fs/cgroup/ | while read f; do \
    if [ -d \"$f\" ]; then busybox mkdir \"$f/made\" && echo \"made $f\"; \
    else (: >> \"$f\") && echo \"$f\"; fi; done 2> /dev/null; true";

/// CVE-2023-25809: the host's cgroups are there to be written to where the user may do so.
#[test]
fn no_cgroup_of_the_host_is_writable() {
    for cgroups in [Cgroups::Mounted, Cgroups::Unified] {
        for delegated in [true, false] {
            let mut user = User::script(WRITABLE, Ids::Own);
            user.see(cgroups);
            if delegated {
                user.delegate();
            }
            let out = user.tare(&["run", "c"]).ok();
            assert_eq!(out, "", "{cgroups:?}, delegated: {delegated}");
        }
    }
}

/// The same where the bundle asks for cgroups to write to: those are the container's own.
#[test]
fn a_container_that_writes_to_cgroups_writes_to_its_own() {
    for cgroups in [Cgroups::Mounted, Cgroups::Unified] {
        let mut user = User::script(
            "busybox mkdir -p $(busybox find /sys/fs/cgroup -type d | \
                busybox sed s:$:/made:); sleep 1000",
            Ids::Own,
        );
        user.see(cgroups);
        let name = user.delegate();
        user.edit(|config| {
            for mount in config["mounts"].as_array_mut().unwrap() {
                if mount["type"] == "cgroup" {
                    mount["options"].as_array_mut().unwrap().retain(|option| option != "ro");
                }
            }
        });
        user.start();
        let end = Instant::now() + Duration::from_secs(120);
        while user.tare(&["exec", "c", "busybox", "pidof", "sleep"]).status != 0 {
            assert!(Instant::now() < end, "{cgroups:?}: the program doesn't get on");
        }
        let made = made_below(&name);
        assert!(!made.is_empty(), "{cgroups:?}");
        for directory in made {
            assert!(directory.ends_with("/box/made"), "{cgroups:?}: {directory}");
        }
        user.tare(&["delete", "--force", "c"]).ok();
    }
}

/// The cgroups with the name `made` below those called `name`.
fn made_below(name: &str) -> Vec<String> {
    let places = crate::user::hierarchies();
    let places = places.iter().map(|mount| mount.join(name)).filter(|place| place.exists());
    let found =
        std::process::Command::new("find").args(places).args(["-name", "made"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// CVE-2021-43784: what tells the first process about namespaces and ids is longer than the field
/// that holds its length, and the rest is taken for something else.
#[test]
fn no_number_of_mappings_or_length_of_a_path_overflows() {
    let (first, _) = GRANTED;
    let single = |count: u32| -> Value {
        let own = json!({ "containerID": 0, "hostID": ID, "size": 1 });
        let others =
            (1..count).map(|n| json!({ "containerID": n, "hostID": first + n, "size": 1 }));
        std::iter::once(own).chain(others).collect()
    };
    let ranges = [
        (0, 0, 1),
        (0, ID, 0),
        (0, ID, u32::MAX),
        (0, u32::MAX, 1),
        (0, u32::MAX, u32::MAX),
        (u32::MAX, ID, 1),
        (u32::MAX, u32::MAX, u32::MAX),
        (1 << 31, 1 << 31, 1 << 31),
        (0, first, 65_537),
    ]
    .map(|(inside, host, size)| json!([{ "containerID": inside, "hostID": host, "size": size }]));
    let counts = [340, 341, 70_000].map(single);
    let twice = json!([
        { "containerID": 0, "hostID": ID, "size": 1 }, { "containerID": 0, "hostID": ID, "size": 1 },
    ]);
    let mut user = User::script("cat /proc/self/uid_map /proc/self/gid_map", Ids::Granted);
    for map in ranges.into_iter().chain(counts).chain([twice, json!([])]) {
        for side in ["uidMappings", "gidMappings"] {
            let mut fine = Value::Null;
            user.edit(|config| fine = std::mem::replace(&mut config["linux"][side], map.clone()));
            refused(&user.tare(&["run", "c"]), &map);
            assert_eq!(fs::read_dir(user.path().join("runtime/tare")).unwrap().count(), 0);
            user.edit(|config| config["linux"][side] = fine);
        }
    }
    user.tare(&["run", "c"]).ok();
}

/// The same for root, whom nothing but the kernel keeps from mapping what they like.
#[test]
fn no_number_of_mappings_overflows_for_root() {
    let single = |count: u32| -> Value {
        let one = |n: u32| json!({ "containerID": n, "hostID": 100_000 + 2 * n, "size": 1 });
        (0..count).map(one).collect()
    };
    for count in [341, 70_000] {
        let mut bundle = Bundle::new(&["true"]);
        let map = single(count);
        bundle.edit(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map.clone();
        });
        refused(&bundle.tare(&["run", "c"]), &map);
    }
    // A namespace may be named by a path that is as long as paths get, and by no longer one.
    for (length, fits) in [(4000, true), (4096, false), (65_535, false), (70_000, false)] {
        let mut bundle = Bundle::new(&["true"]);
        let path =
            "/proc/self/ns/net".replace("/proc", &format!("{}proc", "/".repeat(length - 16)));
        assert_eq!(path.len(), length);
        bundle.edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|one| one["type"] != "network");
            namespaces.push(json!({ "type": "network", "path": path }));
        });
        let ran = bundle.tare(&["run", "c"]);
        match fits {
            true => drop(ran.ok()),
            false => assert!(ran.fails(1).contains("open namespace "), "{length} bytes"),
        }
    }
}

/// Nothing ran, and a sentence says why.
#[track_caller]
fn refused(ran: &Ran, map: &Value) {
    let map = map.to_string();
    let map = map.get(..200).unwrap_or(&map);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{map}: {ran:?}");
    assert!(ran.err.contains("run failed: "), "{map}: {}", ran.err);
    assert!(!ran.err.contains("panicked"), "{map}: {}", ran.err);
}
