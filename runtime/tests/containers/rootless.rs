//! Containers of a plain user, with what little or much the host grants them.

use crate::user::{GRANTED, ID, Ids, User, hierarchies};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn one_id_is_enough() {
    let user = User::script("id -u; cat /proc/self/uid_map /proc/self/setgroups", Ids::Own);
    let out = user.tare(&["run", "c"]).ok();
    let words: Vec<_> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", &ID.to_string(), "1", "deny"]);
}

#[test]
fn granted_ids_are_mapped_by_the_helpers() {
    let mut user =
        User::script("cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g", Ids::Granted);
    user.edit(|config| config["process"]["user"] = json!({ "uid": 1000, "gid": 2000 }));
    let out = user.tare(&["run", "c"]).ok();
    let (first, _) = GRANTED;
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["1", &first.to_string(), "1000"]);
    assert_eq!(lines[2][..2], ["2000", &(first + 1000).to_string()]);
    assert_eq!(lines[0..3], lines[3..6]);
    assert_eq!(lines[6..], [["1000"], ["2000"]]);
}

#[test]
fn ids_that_are_not_granted_are_refused() {
    let mut user = User::new(&["true"], Ids::Granted);
    user.edit(|config| config["linux"]["uidMappings"][1]["hostID"] = 1.into());
    let error = user.tare(&["run", "c"]).fails(1);
    assert!(error.contains("newuidmap: "), "{error}");
    assert!(error.contains("not allowed"), "{error}");

    let mut user = User::new(&["true"], Ids::Own);
    user.edit(|config| config["linux"]["gidMappings"][0]["size"] = 2.into());
    let error = user.tare(&["run", "c"]).fails(1);
    assert!(error.contains("exec newgidmap, which it takes to map other ids"), "{error}");
    assert_eq!(fs::read_dir(user.path().join("runtime/tare")).unwrap().count(), 0);
}

#[test]
fn a_life_without_a_cgroup() {
    let mut user = User::new(&["sleep", "1000"], Ids::Own);
    user.edit(|config| config["process"]["oomScoreAdj"] = 700.into());
    user.leave(&["create", "c"]);
    user.wait_for("created");
    assert_eq!(user.tare(&["exec", "c", "id", "-u"]).ok(), "0\n", "before the start, too");
    user.tare(&["start", "c"]).ok();
    user.wait_for("running");
    let score =
        user.tare(&["exec", "c", "cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj"]);
    assert_eq!(score.ok(), "700\n700\n");
    assert!(user.tare(&["list"]).ok().contains("plain"));
    for (command, expected) in [
        (&["pause", "c"][..], "cannot toggle freezer: cgroups not configured for container"),
        (&["ps", "c"], "unable to get all container pids"),
        (&["events", "c"], "no memory cgroup"),
        (
            &["update", "--pids-limit", "20", "c"],
            "cannot set pids limit: container could not join or create cgroup",
        ),
        (&["delete", "c"], "cannot delete container c that is not stopped: running"),
    ] {
        let error = user.tare(command).fails(1);
        assert!(error.contains(expected), "{command:?}: {error}");
    }
    user.tare(&["kill", "c", "KILL"]).ok();
    user.wait_for("stopped");
    user.tare(&["delete", "c"]).ok();
}

#[test]
fn limits_without_a_cgroup_are_refused() {
    for (option, value, controller) in [
        ("pids", json!({ "limit": 10 }), "pids"),
        ("memory", json!({ "limit": 64 << 20 }), "memory"),
        ("cpu", json!({ "shares": 512 }), "cpu"),
    ] {
        let mut user = User::new(&["true"], Ids::Own);
        user.edit(|config| config["linux"]["resources"] = json!({ option: value }));
        let error = user.tare(&["run", "c"]).fails(1);
        let expected =
            format!("cannot set {controller} limit: container could not join or create cgroup");
        assert!(error.contains(&expected), "{error}");
    }
    let mut user = User::new(&["true"], Ids::Own);
    user.edit(|config| config["linux"]["cgroupsPath"] = "/tare-test-of-others/box".into());
    let error = user.tare(&["run", "c"]).fails(1);
    assert!(error.contains("unable to apply cgroup configuration: mkdir "), "{error}");
    assert!(error.contains("permission denied"), "{error}");
}

#[test]
fn a_cgroup_of_somebody_else_with_the_same_name_is_left_alone() {
    let mut user = User::new(&["cat", "/proc/self/cgroup"], Ids::Own);
    let name = user.path().file_name().unwrap().to_str().unwrap().to_owned();
    let theirs: Vec<_> = hierarchies().into_iter().map(|one| one.join(&name)).collect();
    theirs.iter().for_each(|directory| fs::create_dir(directory).unwrap());
    let ran = user.tare(&["run", &name]);
    user.edit(|config| config["linux"]["cgroupsPath"] = format!("/{name}").into());
    let asked_for = user.tare(&["run", "c"]);
    theirs.iter().for_each(|directory| fs::remove_dir(directory).unwrap());
    assert!(!ran.ok().contains(&name));
    let error = asked_for.fails(1);
    assert!(error.contains("unable to apply cgroup configuration: write to "), "{error}");
}

#[test]
fn a_delegated_cgroup_is_used_whole() {
    let mut user = User::new(&["sleep", "1000"], Ids::Own);
    let name = user.delegate();
    user.edit(|config| config["linux"]["resources"] = json!({ "pids": { "limit": 20 } }));
    user.start();
    let limit = || {
        let files = hierarchies().into_iter().map(|one| one.join(&name).join("box/pids.max"));
        files.filter_map(|file| fs::read_to_string(file).ok()).collect::<String>()
    };
    assert_eq!(limit(), "20\n");
    user.tare(&["update", "--pids-limit", "30", "c"]).ok();
    assert_eq!(limit(), "30\n");
    user.tare(&["pause", "c"]).ok();
    user.wait_for("paused");
    user.tare(&["resume", "c"]).ok();
    user.wait_for("running");
    let pid = user.state()["pid"].to_string();
    assert_eq!(user.tare(&["ps", "--format", "json", "c"]).ok().trim(), format!("[{pid}]"));
    assert!(
        user.tare(&["events", "--stats", "c"]).ok().contains(r#""pids":{"current":1,"limit":30"#)
    );
    let place = user.tare(&["exec", "c", "cat", "/proc/self/cgroup"]).ok();
    assert!(place.contains(&format!(":pids:/{name}/box\n")) || place.contains("0::/"), "{place}");
    user.tare(&["delete", "--force", "c"]).ok();
    let left: Vec<_> = hierarchies()
        .into_iter()
        .map(|one| one.join(&name).join("box"))
        .filter(|one| one.exists())
        .collect();
    assert_eq!(left, [] as [std::path::PathBuf; 0]);
}

#[test]
fn users_and_groups_have_to_be_mapped() {
    for (change, expected) in [
        (json!({ "uid": 5, "gid": 0 }), "cannot setuid to unmapped uid 5 in user namespace"),
        (json!({ "uid": 0, "gid": 5 }), "cannot setgid to unmapped gid 5 in user namespace"),
        (json!({ "uid": u32::MAX, "gid": 0 }), "uid 4294967295 is out of range"),
        (json!({ "uid": 0, "gid": u32::MAX }), "gid 4294967295 is out of range"),
        (json!({ "uid": 1_u64 << 32, "gid": 0 }), "4294967296"),
        (json!({ "uid": -1, "gid": 0 }), "-1"),
        (json!({ "uid": "0", "gid": 0 }), "string"),
        (
            json!({ "uid": 0, "gid": 0, "additionalGids": [0] }),
            "cannot set any additional groups in a rootless container",
        ),
    ] {
        let mut user = User::new(&["true"], Ids::Own);
        user.edit(|config| config["process"]["user"] = change.clone());
        let error = user.tare(&["run", "c"]).fails(1);
        assert!(error.contains(expected), "{change}: {error}");
    }
    let user = User::new(&["sleep", "1000"], Ids::Own);
    user.start();
    for (who, expected) in [
        ("5", "unmapped uid 5"),
        ("0:5", "unmapped gid 5"),
        ("4294967295", "out of range"),
        ("4294967296", "bad uid"),
        ("18446744073709551616", "bad uid"),
        ("root", "bad uid"),
        ("0:0:0", "bad gid"),
        ("0:", "bad gid"),
        (" 0", "bad uid"),
        ("0x0", "bad uid"),
    ] {
        let ran = user.tare(&["exec", "--user", who, "c", "id"]);
        assert_ne!(ran.status, 0, "{who:?}: {ran:?}");
        assert!(ran.err.contains(expected), "{who:?}: {}", ran.err);
    }
    let error = user.tare(&["exec", "--additional-gids", "0", "c", "id"]);
    assert!(error.err.contains("cannot set any additional groups"), "{error:?}");
}

#[test]
fn a_shared_pid_namespace_without_a_cgroup_is_warned_of() {
    let mut user = User::new(&["sleep", "1000"], Ids::Own);
    user.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|one| one["type"] != "pid");
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "proc" {
                *mount = json!({
                    "destination": "/proc", "type": "none", "source": "/proc",
                    "options": ["rbind", "nosuid", "nodev", "noexec"],
                });
            }
        }
    });
    user.start();
    let log = fs::read_to_string(user.path().join("log")).unwrap();
    assert!(log.contains("Such configuration is strongly discouraged"), "{log}");
    user.tare(&["kill", "c", "KILL"]).ok();
    user.wait_for("stopped");
    user.tare(&["delete", "c"]).ok();
}

#[test]
fn the_callers_cgroups_are_there_to_look_at() {
    let user = User::script("cat /sys/fs/cgroup/pids/tasks > /dev/null && echo seen", Ids::Own);
    let is_unified = hierarchies().len() == 1;
    assert_eq!(user.tare(&["run", "c"]).out == "seen\n", !is_unified);
}

#[test]
fn devices_are_those_of_the_host() {
    let user = User::script("echo x > /dev/null; stat -c '%t:%T %u' /dev/null /dev/zero", Ids::Own);
    // The host's root is nobody here.
    assert_eq!(user.tare(&["run", "c"]).ok(), "1:3 65534\n1:5 65534\n");
}

#[test]
fn the_containers_are_kept_where_only_the_user_gets() {
    let user = User::new(&["true"], Ids::Own);
    assert_eq!(user.tare(&["list", "-q"]).ok(), "");
    let kept = fs::metadata(user.path().join("runtime/tare")).unwrap();
    assert_eq!((kept.permissions().mode() & 0o7777, kept.uid()), (0o1700, ID));

    fs::set_permissions(user.path().join("runtime"), PermissionsExt::from_mode(0o500)).unwrap();
    fs::remove_dir(user.path().join("runtime/tare")).unwrap();
    let error = user.tare(&["list"]).fails(1);
    assert!(error.contains("$XDG_RUNTIME_DIR must be writable by the user"), "{error}");

    let others = user.path().join("others");
    fs::create_dir(&others).unwrap();
    fs::set_permissions(&others, PermissionsExt::from_mode(0o700)).unwrap();
    let error = user.tare(&["--root", others.to_str().unwrap(), "list"]).fails(1);
    assert!(error.contains("permission denied"), "{error}");
}

#[test]
fn the_flag_says_who_may_do_without_a_cgroup() {
    let user = User::new(&["true"], Ids::Own);
    user.tare(&["--rootless=true", "run", "c"]).ok();
    user.tare(&["--rootless", "auto", "run", "c"]).ok();
    let error = user.tare(&["--rootless=false", "run", "c"]).fails(1);
    assert!(error.contains("unable to apply cgroup configuration: "), "{error}");
    let error = user.tare(&["--rootless=maybe", "run", "c"]).fails(1);
    assert!(error.contains("maybe"), "{error}");
}

/// As rootless engines run it: they have made a user namespace, and are root of it.
#[test]
fn root_of_a_user_namespace_runs_containers_in_it() {
    let mut user = User::new(&["sleep", "1000"], Ids::Own);
    user.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|one| one["type"] != "user");
        config["linux"]["uidMappings"] = json!(null);
        config["linux"]["gidMappings"] = json!(null);
        config["process"]["user"]["additionalGids"] = json!([0]);
    });
    let script = "set -e; tare() { ./tare --root runtime/tare \"$@\"; }; \
        tare run --detach c > /dev/null 2>&1; \
        tare exec c sh -c 'id -u; stat -c %t:%T /dev/null; cat /proc/1/comm'; \
        tare kill c KILL; tare delete --force c";
    let run = |script: &str| {
        let mut command = user.command("/usr/bin/unshare");
        crate::bundle::Ran::from(
            command.args(["--user", "--map-root-user", "/bin/sh", "-c", script]).output().unwrap(),
        )
    };
    assert_eq!(run(script).ok(), "0\n1:3\nsleep\n");
}

/// As above, with one more user namespace for the container.
#[test]
fn user_namespaces_nest() {
    let mut user = User::new(&["sleep", "1000"], Ids::Own);
    user.edit(|config| {
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map][0]["hostID"] = 0.into();
        }
    });
    let script = "set -e; tare() { ./tare --root runtime/tare \"$@\"; }; \
        tare run --detach c > /dev/null 2>&1; tare exec c cat /proc/1/comm /proc/self/uid_map; \
        tare delete --force c";
    let mut command = user.command("/usr/bin/unshare");
    command.args(["--user", "--map-root-user", "/bin/sh", "-c", script]);
    let out = crate::bundle::Ran::from(command.output().unwrap()).ok();
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["sleep", "0", "0", "1"]);
}
