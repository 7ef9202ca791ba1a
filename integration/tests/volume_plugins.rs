//! Volumes that plugins keep: as docker has it, and with plugins that don't do as they should.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tare_integration::plugin::{Mood, Plugin};
use tare_integration::{Host, on_host_with_plugins, until_true};

#[test]
fn a_plugin_keeps_volumes() {
    on_host_with_plugins(|host| {
        let plugin = Plugin::start(host, "disks", "global");
        host.docker("volume create -d disks -o speed=high --label tier=front data")
            .code(0)
            .stdout("data\n");
        assert_eq!(plugin.volumes()["data"], json!({"speed": "high"}));
        let volume = &host.docker("volume inspect data").json()[0];
        assert_eq!((&volume["Driver"], &volume["Scope"]), (&json!("disks"), &json!("global")));
        assert_eq!(volume["Status"], json!({"mood": "good"}));
        assert_eq!(volume["Options"], json!({"speed": "high"}));
        assert_eq!(volume["Labels"], json!({"tier": "front"}));
        host.docker("volume ls -f driver=disks").code(0).stdout_has("disks     data");
        host.docker("info --format '{{.Plugins.Volume}}'").code(0).stdout("[disks local]\n");
        host.docker("volume create -d local data").code(1).stderr_has(
            "create data: driver 'disks' already has volume 'data': volume name must be unique",
        );
        // The command line says `local` if nothing is said.
        let same = host.post("/volumes/create", r#"{"Name": "data"}"#).json();
        assert_eq!(same["Driver"], "disks");

        host.docker("run --rm -v data:/d busybox sh -c 'echo kept > /d/file'").ok();
        let file = host.scratch("disks").join("data/file");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "kept\n");
        host.docker("run -d --name c1 -v data:/d busybox sleep 1000").ok();
        let id = host.inspect("c1", "{{.Id}}");
        assert_eq!(plugin.mounted(), [("data".to_owned(), id)]);
        assert_eq!(host.inspect("c1", "{{(index .Mounts 0).Driver}}"), "disks");
        host.docker("exec c1 cat /d/file").code(0).stdout("kept\n");
        host.docker("cp c1:/d/file - | tar -xO").code(0).stdout("kept\n");
        host.docker("volume rm data").code(1).stderr_has("remove data: volume is in use");
        host.docker("rm -f c1").ok();
        assert_eq!(plugin.mounted(), []);
        // Nothing is gained by that here.
        host.docker("volume prune -af").ok();
        assert!(plugin.volumes().contains_key("data"));
        host.docker("volume rm data").code(0);
        assert!(plugin.volumes().is_empty());
        let events = "events --since 1h --filter type=volume --filter volume=data \
            --format '{{.Action}} {{.Actor.Attributes.driver}}'";
        let watcher = host.docker_running(events);
        watcher.wait_for_stdout("destroy disks");
        let expected =
            "create disks\nmount disks\nunmount disks\nmount disks\nunmount disks\ndestroy disks\n";
        assert_eq!(watcher.stdout(), expected);
    });
}

#[test]
fn volumes_of_plugins_are_had_in_all_ways() {
    on_host_with_plugins(|host| {
        let plugin = Plugin::start(host, "disks", "local");
        // What it has already is found by its name alone.
        plugin.has("theirs");
        std::fs::create_dir_all(host.scratch("disks").join("theirs/part")).unwrap();
        host.docker("volume ls -q").code(0).stdout("theirs\n");
        host.docker("run --rm -v theirs:/d busybox touch /d/part/new").ok();
        let part = "type=volume,src=theirs,dst=/d,volume-subpath=part";
        host.docker(&format!("run --rm --mount {part} busybox ls /d")).code(0).stdout("new\n");
        // A new one is filled with what the image has.
        host.docker("run --rm --volume-driver disks -v filled:/etc busybox true").ok();
        assert!(host.scratch("disks").join("filled/passwd").exists());
        host.docker("create --name c1 --volume-driver disks -v /anonymous busybox").ok();
        host.docker("run --rm --volumes-from c1 busybox touch /anonymous/it").ok();
        host.docker("cp c1:/anonymous - | tar -t").code(0).stdout_has("anonymous/it");
        until_true("what was mounted for that being unmounted", || plugin.mounted().is_empty());
        let mut names: Vec<_> = plugin.volumes().into_keys().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        host.docker("rm -v c1").ok();
        names = plugin.volumes().into_keys().collect();
        assert_eq!(names, ["filled", "theirs"]);
        // What is said of plugins that aren't there, and what their volumes can't do.
        host.docker("volume create -d none xy").code(1).stderr_has(
            "create xy: error looking up volume plugin none: plugin \"none\" not found",
        );
        let answer = host.post("/volumes/filled/rename?name=other", "");
        assert!(answer.message().contains("the plugin disks keeps it"), "{answer:?}");
    });
}

#[test]
fn what_is_mounted_outlives_the_daemon_and_is_unmounted_once() {
    on_host_with_plugins(|host| {
        let plugin = Plugin::start(host, "disks", "local");
        for name in ["c1", "c2"] {
            host.docker(&format!(
                "run -d --name {name} --volume-driver disks -v data:/d busybox sleep 1000"
            ))
            .ok();
        }
        let pid = host.inspect("c2", "{{.State.Pid}}");
        assert_eq!(plugin.mounted().len(), 2);
        host.end_daemon(Signal::KILL);
        host.run("kill", &["-9", &pid]).ok();
        host.start_daemon();
        until_true("the second container being over", || plugin.mounted().len() == 1);
        host.docker("exec c1 touch /d/file").code(0);
        host.docker("restart -t 0 c1").ok();
        assert_eq!(plugin.mounted().len(), 1);
        host.docker("rm -f c1 c2").ok();
        assert!(plugin.mounted().is_empty());
        host.docker("volume rm data").ok();
    });
}

#[track_caller]
fn refused(host: &Host, words: &str) {
    host.docker("run --rm -v data:/d busybox true").code(125).stderr_has(words);
}

#[test]
fn a_plugin_is_not_believed() {
    on_host_with_plugins(|host| {
        let plugin = Plugin::start(host, "disks", "local");
        host.docker("volume create -d disks data").ok();
        for place in ["relative/path", "", "/run/../etc"] {
            plugin.set_mood(Mood::MountsAt(place.to_owned()));
            refused(host, "which is no absolute path");
        }
        plugin.set_mood(Mood::MountsAt("/does/not/exist".to_owned()));
        refused(host, "/does/not/exist");
        plugin.set_mood(Mood::Says("<html>".to_owned()));
        host.docker("volume create -d disks other").code(1).stderr_has("answer can't be read");
        plugin.set_mood(Mood::Says(r#"{"Err": "out of disks"}"#.to_owned()));
        host.docker("volume create -d disks other")
            .code(1)
            .stderr_has("create other: out of disks");
        plugin.set_mood(Mood::Says(" ".repeat(20 << 20)));
        host.docker("volume create -d disks other").code(1).stderr_has("has more than 16777216");
        let list = host.get("/volumes").json();
        assert!(list["Warnings"][0].as_str().is_some_and(|it| it.starts_with("list disks: ")));
        // What is known of its volumes is listed.
        assert_eq!(list["Volumes"][0]["Name"], "data");
        plugin.set_mood(Mood::Good);
    });
}

#[test]
fn a_plugin_that_hangs_keeps_nobody_else_waiting() {
    on_host_with_plugins(|host| {
        let plugin = Plugin::start(host, "disks", "local");
        host.docker("volume create -d disks data").ok();
        plugin.set_mood(Mood::Silent);
        let stuck = host.docker_running("volume create -d disks stuck");
        until_true("the plugin being asked", || {
            plugin.calls().last().is_some_and(|call| call == "VolumeDriver.Get")
        });
        let begun = Instant::now();
        host.docker("volume ls -q").code(0).stdout("data\n");
        host.docker("volume create ours").ok();
        host.docker("run --rm -v ours:/d busybox touch /d/file").ok();
        host.docker("volume rm ours").ok();
        host.docker("system df").ok();
        host.docker("ps -a").ok();
        assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
        stuck.signal(Signal::KILL);
        plugin.set_mood(Mood::Good);
        host.docker("volume rm data").ok();
    });
}
