//! `docker volume`, and what becomes of volumes when containers come and go.

use rustix::process::Signal;
use serde_json::json;
use tare_integration::archive::Tar;
use tare_integration::{Host, on_host, peer, until_true};

/// The names of the volumes that `volume ls` shows with these flags.
#[track_caller]
fn listed(host: &Host, flags: &str) -> Vec<String> {
    let list = host.docker(&format!("volume ls -q {flags}"));
    list.ok().lines().map(str::to_owned).collect()
}

/// The names of the volumes that `volume prune` took away.
#[track_caller]
fn pruned(host: &Host, flags: &str) -> Vec<String> {
    let prune = host.docker(&format!("volume prune -f {flags}"));
    let names = prune.ok().lines().skip_while(|line| *line != "Deleted Volumes:").skip(1);
    names.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_volume_is_made_shown_and_removed() {
    on_host(|host| {
        host.docker("volume create --label tier=front data").code(0).stdout("data\n");
        let volume = &host.docker("volume inspect data").json()[0];
        assert_eq!(volume["Name"], "data");
        assert_eq!(volume["Driver"], "local");
        assert_eq!(volume["Scope"], "local");
        assert_eq!(volume["Labels"], json!({"tier": "front"}));
        assert!(volume["CreatedAt"].as_str().is_some_and(|time| time.len() >= 20), "{volume}");
        let place = host.places().data_root.join("volumes/data/_data");
        assert_eq!(volume["Mountpoint"], place.display().to_string());
        assert!(place.is_dir());
        host.docker("volume ls").code(0).stdout_has("local     data");
        host.docker("volume rm data").code(0).stdout("data\n");
        assert!(!place.exists());
        assert!(listed(host, "").is_empty());
    });
}

#[test]
fn a_volume_without_a_name_gets_one() {
    on_host(|host| {
        let name = host.docker("volume create").ok().to_owned();
        assert_eq!(name.len(), 64, "{name}");
        let labels = host.docker(&format!("volume inspect --format '{{{{.Labels}}}}' {name}"));
        labels.code(0).stdout_has("com.docker.volume.anonymous");
    });
}

#[test]
fn one_that_is_there_is_left_as_it_is() {
    on_host(|host| {
        host.docker("volume create --label a=1 data").ok();
        host.docker("run --rm -v data:/d busybox sh -c 'echo kept > /d/file'").ok();
        host.docker("volume create --label a=2 data").code(0).stdout("data\n");
        host.docker("volume inspect --format '{{.Labels.a}}' data").code(0).stdout("1\n");
        host.docker("run --rm -v data:/d busybox cat /d/file").code(0).stdout("kept\n");
    });
}

#[test]
fn what_cannot_be_is_refused_in_dockers_words() {
    on_host(|host| {
        host.docker("volume create a").code(1).stderr_has("volume name is too short");
        host.docker("volume create ../up").code(1).stderr_has(
            "create ../up: \"../up\" includes invalid characters for a local volume name",
        );
        host.docker("volume create -d nfs data").code(1).stderr_has("plugin \"nfs\" not found");
        host.docker("volume create -o colour=red data").code(1).stderr_has("invalid option");
        host.docker("volume inspect nothing").code(1).stderr_has("get nothing: no such volume");
        host.docker("volume rm nothing").code(1).stderr_has("get nothing: no such volume");
        host.docker("volume rm -f nothing").code(0);
        host.docker("volume ls --filter colour=red").code(1).stderr_has("invalid filter 'colour'");
        // The command line takes `-v a:/d` for a path of Windows'.
        let bind = r#"{"Image": "busybox", "HostConfig": {"Binds": ["a:/d"]}}"#;
        let answer = host.post("/containers/create", bind);
        assert!(answer.message().contains("volume name is too short"), "{answer:?}");
        host.docker("run --rm --mount type=volume,src=a,dst=/d busybox true")
            .code(125)
            .stderr_has("volume name is too short");
        host.docker("run --rm --mount type=volume,src=a/b,dst=/d busybox true")
            .code(125)
            .stderr_has("includes invalid characters for a local volume name");
        assert_eq!(host.get("/volumes/nothing").status, 404);
        assert_eq!(host.delete("/volumes/nothing").status, 404);
        assert!(listed(host, "").is_empty());
    });
}

#[test]
fn a_volume_in_use_stays() {
    on_host(|host| {
        host.docker("create --name c1 -v data:/d busybox").ok();
        let id = host.inspect("c1", "{{.Id}}");
        let message = format!("remove data: volume is in use - [{id}]");
        host.docker("volume rm data").code(1).stderr_has(&message);
        host.docker("volume rm -f data").code(1).stderr_has(&message);
        assert_eq!(host.delete("/volumes/data").status, 409);
        // The next daemon knows it too.
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        host.docker("volume rm data").code(1).stderr_has(&message);
        host.docker("rm -v c1").ok();
        host.docker("volume rm data").code(0);
    });
}

#[test]
fn what_was_said_of_a_volume_outlives_the_daemon() {
    on_host(|host| {
        host.docker("volume create --label tier=front data").ok();
        host.docker("create --name c1 -v /anonymous busybox").ok();
        let name = host.inspect("c1", "{{(index .Mounts 0).Name}}");
        let before = host.docker(&format!("volume inspect data {name}")).ok().to_owned();
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        assert_eq!(host.docker(&format!("volume inspect data {name}")).ok(), before);
    });
}

#[test]
fn an_anonymous_volume_goes_with_its_container_if_asked() {
    on_host(|host| {
        host.docker("run --rm -v /d busybox true").ok();
        assert!(listed(host, "").is_empty());
        host.docker("create --name c1 -v /d busybox").ok();
        let name = host.inspect("c1", "{{(index .Mounts 0).Name}}");
        assert_eq!(listed(host, ""), [name.as_str()]);
        // Another container that has it keeps it.
        host.docker(&format!("create --name c2 -v {name}:/d busybox")).ok();
        host.docker("rm -v c1").ok();
        assert_eq!(listed(host, "-f dangling=false"), [name.as_str()]);
        host.docker("rm -v c2").ok();
        assert_eq!(listed(host, "-f dangling=true"), [name.as_str()]);
        assert_eq!(pruned(host, ""), [name]);
    });
}

#[test]
fn lists_are_filtered() {
    on_host(|host| {
        host.docker("volume create --label tier=front one").ok();
        host.docker("volume create --label tier=back two").ok();
        host.docker("create -v two:/d busybox").ok();
        for (flags, expected) in [
            ("", &["one", "two"][..]),
            ("-f name=on", &["one"]),
            ("-f name=^wo", &[]),
            ("-f label=tier", &["one", "two"]),
            ("-f label=tier=back", &["two"]),
            ("-f dangling=true", &["one"]),
            ("-f dangling=false", &["two"]),
            ("-f driver=local -f name=two", &["two"]),
            ("-f driver=nfs", &[]),
        ] {
            assert_eq!(listed(host, flags), expected, "{flags}");
        }
    });
}

#[test]
fn pruning_spares_names_and_uses() {
    on_host(|host| {
        host.docker("volume create named").ok();
        host.docker("volume create --label keep=1 spared").ok();
        host.docker("create --name c1 -v used:/d busybox").ok();
        let anonymous = host.docker("volume create").ok().to_owned();
        assert_eq!(pruned(host, ""), [anonymous]);
        assert_eq!(pruned(host, "-a --filter label!=keep"), ["named"]);
        assert_eq!(pruned(host, "-a"), ["spared"]);
        assert_eq!(listed(host, ""), ["used"]);
        host.docker("run --rm -v used:/d busybox sh -c 'echo 123456 > /d/file'").ok();
        host.docker("rm c1").ok();
        host.docker("volume prune -f -a").code(0).stdout_has("Total reclaimed space: 7B");
        // Old clients mean all.
        host.docker("volume create named").ok();
        let answer = host.post("/v1.41/volumes/prune", "").json();
        assert_eq!(answer["VolumesDeleted"], json!(["named"]));
    });
}

#[test]
fn a_mount_names_and_labels_its_volume() {
    on_host(|host| {
        let mount = "type=volume,src=data,dst=/d,volume-driver=local,volume-label=tier=front";
        host.docker(&format!("run --rm --mount {mount} busybox touch /d/file")).ok();
        let labels = host.docker("volume inspect --format '{{json .Labels}}' data");
        labels.code(0).stdout("{\"tier\":\"front\"}\n");
        host.docker("run --rm --mount type=volume,src=data,dst=/d,ro busybox touch /d/file")
            .code(1)
            .stderr_has("read-only");
        // Not by the command line, which may take this for a missing image.
        let other = r#"{"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "volume",
            "Target": "/d", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}}]}}"#;
        let answer = host.post("/containers/create", other);
        assert!(answer.message().contains("plugin \"nfs\" not found"), "{answer:?}");
    });
}

#[test]
fn the_disk_usage_has_them() {
    on_host(|host| {
        host.docker("run --name c1 -v data:/d busybox sh -c 'echo 123456 > /d/file'").ok();
        host.docker("volume create other").ok();
        let usage = host.get("/system/df").json();
        let usage = |index: usize| usage["Volumes"][index]["UsageData"].clone();
        assert_eq!(usage(0), json!({"RefCount": 1, "Size": 7}));
        assert_eq!(usage(1), json!({"RefCount": 0, "Size": 0}));
        host.docker("system df").code(0).stdout_has("Local Volumes   2         1         7B");
        host.docker("system df -v").code(0).stdout_has("data");
    });
}

#[test]
fn events_tell_of_them() {
    on_host(|host| {
        host.docker("run --rm --name c1 -v data:/d busybox true").ok();
        host.docker("volume rm data").ok();
        let format = "--format '{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}'";
        let watcher =
            host.docker_running(&format!("events --since 1h --filter type=volume {format}"));
        watcher.wait_for_stdout("destroy data");
        let expected =
            "create data local\nmount data local\nunmount data local\ndestroy data local\n";
        assert_eq!(watcher.stdout(), expected);
    });
}

#[test]
fn a_container_that_does_not_come_to_be_leaves_no_volume() {
    if !peer::is_tared("taking back what a container that failed was given") {
        return;
    }
    on_host(|host| {
        host.docker("create -v data:/bin/sh -v /d busybox").code(1).stderr_has("file exists");
        assert!(!host.places().data_root.join("volumes/data").exists());
        assert!(listed(host, "").is_empty());
    });
}

#[test]
fn a_volume_can_be_something_that_is_mounted() {
    on_host(|host| {
        let memory = "--opt type=tmpfs --opt device=tmpfs --opt o=size=1m,uid=7";
        host.docker(&format!("volume create {memory} memory")).code(0);
        let options = host.docker("volume inspect --format '{{.Options.o}}' memory");
        options.code(0).stdout("size=1m,uid=7\n");
        host.docker(
            "run -d --name one -v memory:/m busybox sh -c 'echo shared > /m/file; sleep 1000'",
        )
        .ok();
        host.docker("exec one sh -c 'until [ -s /m/file ]; do sleep 0.1; done'").code(0);
        host.docker("run --rm -v memory:/m busybox cat /m/file").code(0).stdout("shared\n");
        host.docker("run --rm -v memory:/m busybox stat -c %u /m").code(0).stdout("7\n");
        host.docker("rm -f one").code(0);
        // Memory lasts as long as someone uses it.
        host.docker("run --rm -v memory:/m busybox ls /m").code(0).stdout("");

        let own = host.scratch("own");
        std::fs::write(own.join("file"), "of the host").unwrap();
        let bind = format!("--opt type=none --opt o=bind --opt device={}", own.display());
        host.docker(&format!("volume create {bind} directory")).code(0);
        host.docker("run --rm -v directory:/d busybox cat /d/file").code(0).stdout("of the host");
        host.docker("volume rm directory").code(0);
        assert!(own.join("file").exists());
    });
}

#[test]
fn what_is_mounted_as_a_volume_is_there_for_copies() {
    on_host(|host| {
        let own = host.scratch("own");
        std::fs::write(own.join("file"), "of the host").unwrap();
        let bind = format!("-o type=none -o o=bind -o device={}", own.display());
        host.docker(&format!("volume create {bind} directory")).ok();
        host.docker("volume create -o type=tmpfs -o device=tmpfs memory").ok();
        host.docker("create --name c1 -v directory:/d -v memory:/m busybox").ok();
        host.docker("cp c1:/d/file - | tar -xO").code(0).stdout("of the host");
        host.docker_with_input("cp - c1:/d", &Tar::new().file("new", 0o644, b"copied").bytes())
            .ok();
        assert_eq!(std::fs::read_to_string(own.join("new")).unwrap(), "copied");
        let below = host.places().data_root.join("volumes/directory/_data");
        until_true("the volume being unmounted", || {
            std::fs::read_dir(host.outside(&below)).unwrap().count() == 0
        });
        let gone = format!("-o type=none -o o=bind -o device={}/none", own.display());
        host.docker(&format!("volume create {gone} lost")).ok();
        host.docker("create --name c2 -v lost:/d busybox").ok();
        host.docker("cp c2:/etc/passwd -").code(1).stderr_has("error while mounting volume");
    });
}

#[test]
fn what_is_there_is_had_whatever_is_asked_for() {
    on_host(|host| {
        host.docker("volume create data").ok();
        // Docker looks at nothing else then.
        host.docker("volume create -o type=nfs data").code(0).stdout("data\n");
        host.docker("volume create -d none data")
            .code(1)
            .stderr_has("error looking up volume plugin none: plugin \"none\" not found");
        let answer = host.run(
            "curl",
            &[
                "-sS",
                "--unix-socket",
                &host.places().socket.display().to_string(),
                "-XPUT",
                "http://d/volumes/data",
            ],
        );
        let expected = "volume update only valid for cluster volumes, but swarm is unavailable";
        answer.code(0).stdout_has(expected);
    });
}

#[test]
fn pruning_and_disk_usage_are_about_directories() {
    on_host(|host| {
        host.docker("volume create -o type=tmpfs -o device=tmpfs memory").ok();
        host.docker("volume create data").ok();
        let usage = host.get("/system/df?type=volume").json();
        assert_eq!(usage["Volumes"].as_array().map(Vec::len), Some(1), "{usage}");
        assert_eq!(pruned(host, "-a"), ["data"]);
        assert_eq!(listed(host, ""), ["memory"]);
    });
}

#[test]
fn what_cannot_be_mounted_as_a_volume_is_said_at_the_start() {
    on_host(|host| {
        host.docker("volume create --opt o=bind bad")
            .code(1)
            .stderr_has("create bad: missing required option: \"device\"");
        host.docker("volume create --opt type=none --opt o=bind --opt device=/does/not/exist lost")
            .ok();
        host.docker("run --rm -v lost:/d busybox true")
            .code(125)
            .stderr_has("error while mounting volume");
    });
}

#[test]
fn a_part_of_a_volume_is_mounted_and_leads_nowhere_else() {
    on_host(|host| {
        let fill = "mkdir -p /v/a/b; echo deep > /v/a/b/file; ln -s /etc /v/out; ln -s ../.. /v/up";
        host.docker(&format!("run --rm -v data:/v busybox sh -c '{fill}'")).ok();
        let run = |subpath: &str, command: &str| {
            let mount = format!("type=volume,src=data,dst=/v,volume-subpath={subpath}");
            host.docker(&format!("run --rm --mount {mount} busybox {command}"))
        };
        run("a/b", "cat /v/file").code(0).stdout("deep\n");
        run("a/b/file", "cat /v").code(0).stdout("deep\n");
        for subpath in ["out", "up"] {
            run(subpath, "ls /v").code(125).stderr_has("escapes the base directory");
        }
        run("none", "ls /v").code(125).stderr_has("cannot access path");
        run("../x", "ls /v").code(125).stderr_has("must be a relative path within the volume");
    });
}

#[test]
fn volumes_come_from_other_containers() {
    on_host(|host| {
        let create = "create --name donor -v data:/named -v /anonymous --tmpfs /memory busybox";
        host.docker(create).ok();
        let write = "run --rm --volumes-from donor busybox sh -c 'echo it > /anonymous/file; ls -d /memory'";
        host.docker(write).code(1).stderr_has("/memory: No such file");
        host.docker("run --rm --volumes-from donor busybox cat /anonymous/file").stdout("it\n");
        let read_only = "run --rm --volumes-from donor:ro busybox touch /named/file";
        host.docker(read_only).code(1).stderr_has("Read-only file system");
        host.docker("run --rm --volumes-from nobody busybox true").code(125).stderr_has("nobody");
        host.docker("rm -v donor").code(0);
        assert_eq!(listed(host, ""), ["data"]);
    });
}

#[test]
fn the_files_of_an_image_are_mounted_read_only() {
    on_host(|host| {
        let run = |options: &str, command: &str| {
            let mount = format!("type=image,src=busybox,dst=/image{options}");
            host.docker(&format!("run --rm --mount {mount} busybox {command}"))
        };
        run("", "/image/bin/busybox echo runs").code(0).stdout("runs\n");
        run("", "touch /image/file").code(1).stderr_has("Read-only file system");
        run(",image-subpath=etc", "grep -c root /image/passwd").code(0).stdout("1\n");
        let missing = "run --rm --mount type=image,src=nothing:1,dst=/i busybox true";
        host.docker(missing).code(125).stderr_has("nothing:1");
    });
}

#[test]
fn a_part_of_a_volume_is_filled_with_what_the_image_has_there() {
    on_host(|host| {
        host.docker("run --rm -v data:/data busybox mkdir /data/part /data/other").ok();
        let part = "--mount type=volume,source=data,target=/etc,volume-subpath=part";
        host.docker(&format!("run --rm {part} busybox cat /etc/passwd")).stdout_has("alice");
        host.docker("run --rm -v data:/data busybox ls /data").stdout("other\npart\n");
        host.docker("run --rm -v data:/data busybox ls /data/part").stdout_has("passwd");
        // What has something in it, and what is not to be filled, stays as it is.
        host.docker("run --rm -v data:/data busybox rm /data/part/passwd").ok();
        host.docker(&format!("run --rm {part} busybox ls /etc/passwd")).code(1);
        let empty =
            "--mount type=volume,source=data,target=/etc,volume-subpath=other,volume-nocopy";
        host.docker(&format!("run --rm {empty} busybox ls /etc/passwd")).code(1);
    });
}
