//! `--userns-remap`: users of containers are others on the host, what is on disk has the ids that
//! containers see, and containers with `--userns=host` stand beside them.
#![allow(clippy::expect_used)]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;
use tare_integration::command::run;
use tare_integration::wait::until_true;
use tare_integration::{FIRST_GID, FIRST_UID, Host, on_remapped_host, programs};

/// Owner and group of a file of the machine.
#[track_caller]
fn owner(path: &str) -> (u32, u32) {
    let facts = std::fs::symlink_metadata(path).expect("look at a file");
    (facts.uid(), facts.gid())
}

/// The pid of a container's first process, and its users on the host: real, effective, saved, and of
/// the file system.
#[track_caller]
fn uids(host: &Host, container: &str) -> String {
    let pid = host.inspect(container, "{{.State.Pid}}");
    let status = host.run("cat", &[&format!("/proc/{pid}/status")]);
    let line = status.ok().lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn root_of_a_container_is_somebody_else_on_the_host() {
    on_remapped_host(&[], |host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("run -d --name c2 --user 1000 busybox sleep 1000").ok();
        host.docker("exec c1 id -u").code(0).stdout("0\n");
        let first = FIRST_UID.to_string();
        assert_eq!(uids(host, "c1"), [first.as_str(); 4].join(" "));
        assert_eq!(uids(host, "c2"), [(FIRST_UID + 1000).to_string().as_str(); 4].join(" "));
        host.docker("top c1 -o pid,uid").code(0).stdout_has(&first);
        let map = host.docker("exec c1 cat /proc/self/uid_map /proc/self/gid_map");
        let map: Vec<&str> = map.ok().split_whitespace().collect();
        assert_eq!(map, ["0", &first, "65536", "0", &FIRST_GID.to_string(), "65536"]);
        host.docker("info --format '{{.SecurityOptions}}'").code(0).stdout_has("name=userns");
        assert_eq!(host.inspect("c1", "{{.HostConfig.UsernsMode}}"), "");
    });
}

/// Writes files in a container and looks at them from all sides.
fn files_have_the_containers_ids(host: &Host) {
    let script = "mkdir -p /d && touch /d/ours /d/theirs && chown 33:34 /d/theirs && \
        chown 5:6 /bin/busybox && touch /vol/in && chown 7:8 /vol/in && sleep 1000";
    host.docker(&format!("run -d --name c1 -v data:/vol busybox sh -c '{script}'")).ok();
    let seen = "stat -c \"%n %u:%g\" /d/ours /d/theirs /bin/busybox /vol/in";
    let expected = "/d/ours 0:0\n/d/theirs 33:34\n/bin/busybox 5:6\n/vol/in 7:8\n";
    until_true("the files", || host.docker("exec c1 stat /vol/in").code == 0);
    host.docker(&format!("exec c1 sh -c '{seen}'")).code(0).stdout(expected);

    // A copy out and in, of one that runs and of one that doesn't.
    let file = host.scratch("files").join("new");
    std::fs::write(&file, "text").expect("write a file");
    std::os::unix::fs::chown(&file, Some(9), Some(10)).expect("chown a file");
    let file = file.display();
    for stopped in [false, true] {
        let listed = host.docker("cp c1:/d - | tar -tv --numeric-owner");
        let listed: Vec<String> = listed.lines().into_iter().map(first_words).collect();
        assert!(listed.contains(&"-rw-r--r-- 33/34".to_owned()), "{listed:?}");
        assert!(listed.contains(&"-rw-r--r-- 0/0".to_owned()), "{listed:?}");
        let whole = host.docker("export c1 | tar -tv --numeric-owner");
        let of_program = whole.lines().into_iter().find(|line| line.ends_with(" bin/busybox"));
        assert_eq!(first_words(of_program.expect("it is there")), "-rwxr-xr-x 5/6");
        host.docker(&format!("cp -a {file} c1:/d/{}", u8::from(stopped))).ok();
        host.docker(&format!("cp -a {file} c1:/vol/{}", u8::from(stopped))).ok();
        host.docker("stop -t 0 c1").ok();
    }
    host.docker("start c1").ok();
    let copied = "stat -c %u:%g /d/0 /d/1 /vol/0 /vol/1";
    host.docker(&format!("exec c1 {copied}")).code(0).stdout(&"9:10\n".repeat(4));

    // What is made of it, for either kind of container; and the volume.
    host.docker("diff c1").code(0).stdout_has("A /d/theirs");
    host.docker("commit c1 made").ok();
    for users in ["", "--userns=host"] {
        let other = format!("run --rm {users} -v data:/vol made sh -c '{seen}; {copied}'");
        host.docker(&other).code(0).stdout(&format!("{expected}{}", "9:10\n".repeat(4)));
    }
    host.docker("run --rm --userns=host -v data:/vol busybox chown 11:12 /vol/in").ok();
    host.docker("exec c1 stat -c %u:%g /vol/in").code(0).stdout("11:12\n");
    let volume = host.inspect("c1", "{{(index .Mounts 0).Source}}");
    assert_eq!(owner(&format!("{volume}/in")), (11, 12), "on disk");
}

/// The mode and the owners in a line of a listing.
fn first_words(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_store_serves_containers_with_any_users() {
    on_remapped_host(&["--storage-driver=overlay2"], |host| {
        files_have_the_containers_ids(host);
        let written = host.inspect("c1", "{{.GraphDriver.Data.UpperDir}}");
        assert_eq!(owner(&format!("{written}/d/ours")), (0, 0));
        assert_eq!(owner(&format!("{written}/d/theirs")), (33, 34));
    });
}

#[test]
fn copies_of_images_have_the_containers_ids() {
    on_remapped_host(&["--storage-driver=vfs"], files_have_the_containers_ids);
}

#[test]
fn layers_that_are_mounted_from_files_have_the_containers_ids() {
    on_remapped_host(&["--storage-driver=erofs"], files_have_the_containers_ids);
}

#[test]
fn what_is_the_hosts_takes_the_hosts_users() {
    on_remapped_host(&[], |host| {
        let refused = [
            ("--privileged", "privileged mode is incompatible with user namespaces.  You must run"),
            ("--network=host", "cannot share the host's network namespace when user namespaces"),
            ("--pid=host", "cannot share the host PID namespace when user namespaces are enabled"),
            ("--ipc=host", "cannot share the host IPC namespace when user namespaces are enabled"),
        ];
        for (flag, words) in refused {
            host.docker(&format!("run --rm {flag} busybox true")).code(125).stderr_has(words);
            let map = host.docker(&format!("run --rm --userns=host {flag} busybox id -u"));
            map.code(0).stdout("0\n");
        }
        host.docker("run -d --name c1 --userns=host busybox sleep 1000").ok();
        assert_eq!(uids(host, "c1"), "0 0 0 0");
        assert_eq!(host.inspect("c1", "{{.HostConfig.UsernsMode}}"), "host");
        let body = json!({"Image": "busybox", "HostConfig": {"UsernsMode": "private"}});
        let answer = host.post("/containers/create", &body.to_string());
        assert_eq!((answer.status, answer.message().contains("userns mode")), (400, true));
    });
}

#[test]
fn the_network_is_the_containers_to_rule() {
    on_remapped_host(&[], |host| {
        for network in ["bridge", "none"] {
            let flags = format!("--network {network} --sysctl net.ipv4.ip_forward=1");
            let settings = "cat /proc/sys/net/ipv4/ip_forward; ls -d /sys/class/net/lo; \
                ip link set lo down && ip link set lo up; ping -c 1 127.0.0.1 > /dev/null && echo hi";
            let run = format!("run --rm {flags} --cap-add NET_ADMIN busybox sh -c '{settings}'");
            host.docker(&run).code(0).stdout("1\n/sys/class/net/lo\nhi\n");
        }
        host.docker("run --rm busybox cat /proc/sys/net/ipv4/ping_group_range")
            .code(0)
            .stdout("0\t65535\n");
        let serve = "mkdir /w; echo served > /w/page; exec httpd -f -p 80 -h /w";
        host.docker(&format!("run -d --name c1 -p 8080:80 busybox sh -c '{serve}'")).ok();
        until_true("the page", || {
            host.run("busybox", &["wget", "-qO-", "http://127.0.0.1:8080/page"]).code == 0
        });
    });
}

#[test]
fn namespaces_are_shared_among_the_same_users() {
    on_remapped_host(&[], |host| {
        host.docker("run -d --name c1 --ipc shareable busybox sleep 1000").ok();
        host.docker("run -d --name c2 busybox sleep 1000").ok();
        host.docker("run -d --name c3 --userns=host busybox sleep 1000").ok();
        let users = host.docker("exec c1 readlink -v /proc/1/ns/user");
        assert_ne!(users.ok(), host.docker("exec c2 readlink -v /proc/1/ns/user").ok());
        for flags in [
            "--network container:c1",
            "--pid container:c1",
            "--ipc container:c1",
            "--network container:c1 --pid container:c1 --ipc container:c1",
        ] {
            host.docker(&format!("run --rm {flags} busybox readlink -v /proc/self/ns/user"))
                .code(0)
                .stdout(&format!("{}\n", users.ok()));
        }
        host.docker("run --rm --ipc container:c1 busybox sh -c 'echo text > /dev/shm/file'").ok();
        host.docker("exec c1 cat /dev/shm/file").code(0).stdout("text\n");
        host.docker("run --rm --pid container:c1 busybox cat /proc/1/root/etc/hostname").ok();
        host.docker("run --rm --network container:c3 busybox true")
            .code(125)
            .stderr_has("whose users are the host's: run both containers with --userns=host");
        host.docker("run --rm --network container:c1 --pid container:c2 busybox true")
            .code(125)
            .stderr_has("which has a user namespace of its own");
        host.docker(
            "run --rm --userns=host --network container:c1 --pid container:c2 busybox true",
        )
        .ok();
    });
}

#[test]
fn streams_and_terminals_are_the_containers_own() {
    on_remapped_host(&[], |host| {
        let script = "echo out > /dev/stdout; echo err > /dev/stderr; stat -Lc %u /proc/self/fd/1";
        for user in ["0", "1000"] {
            let run = host.docker(&format!("run --rm --user {user} busybox sh -c '{script}'"));
            run.code(0).stdout(&format!("out\n{user}\n")).stderr_has("err");
        }
        host.docker("run -d --name c1 --init busybox sleep 1000").ok();
        host.docker(&format!("exec c1 sh -c '{script}'")).code(0).stdout("out\n0\n");
        let terminal = "stat -c %u:%g:%a $(tty); echo text > $(tty)";
        for verb in ["run --rm -t busybox", "exec -t c1"] {
            host.docker(&format!("{verb} sh -c '{terminal}'"))
                .code(0)
                .stdout("0:5:620\r\ntext\r\n");
        }
        host.docker("run --rm -t busybox stat -c %u:%g /dev/console").code(0).stdout("0:5\r\n");
        let owned = "for it in /etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/shm /t /vol; do \
            stat -c %u:%g $it; done; echo 1.2.3.4 other >> /etc/hosts; touch /t/file /dev/shm/file";
        host.docker(&format!("run --rm --tmpfs /t -v /vol busybox sh -c '{owned}'"))
            .code(0)
            .stdout(&"0:0\n".repeat(7));
        host.docker("run --rm --ipc shareable busybox stat -c %u:%g:%a /dev/shm")
            .code(0)
            .stdout("0:0:1777\n");
    });
}

#[test]
fn what_the_options_of_a_volume_name_keeps_the_hosts_ids() {
    on_remapped_host(&[], |host| {
        let own = host.scratch("own");
        std::fs::write(own.join("root"), "").expect("write a file");
        let first = (Some(FIRST_UID), Some(FIRST_GID));
        std::os::unix::fs::chown(&own, first.0, first.1).expect("chown a directory");
        let empty = host.scratch("empty");
        for (name, device) in [("own", &own), ("empty", &empty)] {
            let bind = format!("--opt type=none --opt o=bind --opt device={}", device.display());
            host.docker(&format!("volume create {bind} {name}")).ok();
        }
        let script = "touch /v/new && sleep 1000";
        host.docker(&format!("run -d --name c1 -v own:/v busybox sh -c '{script}'")).ok();
        until_true("the file", || host.docker("exec c1 stat /v/new").code == 0);
        host.docker("exec c1 stat -c %u:%g /v /v/root /v/new")
            .code(0)
            .stdout("0:0\n65534:65534\n0:0\n");
        assert_eq!(owner(&own.join("new").display().to_string()), (FIRST_UID, FIRST_GID));
        host.docker("cp c1:/v/new - | tar -tv --numeric-owner").code(0).stdout_has(" 0/0 ");
        // It is filled with what the image has, under the ids that this has for the container.
        host.docker("run --rm -v empty:/bin busybox stat -c %u:%g /bin/busybox")
            .code(0)
            .stdout("0:0\n");
        assert_eq!(owner(&empty.join("busybox").display().to_string()), (FIRST_UID, FIRST_GID));
        host.docker("rm -f c1").ok();
    });
}

#[test]
fn a_part_of_a_volume_has_the_containers_ids() {
    on_remapped_host(&[], |host| {
        let make = "mkdir /v/in && touch /v/in/file && chown 7:8 /v/in/file";
        host.docker(&format!("run --rm -v data:/v busybox sh -c '{make}'")).ok();
        let part = "--mount type=volume,src=data,dst=/v,volume-subpath=in";
        host.docker(&format!("run -d --name c1 {part} busybox sh -c 'touch /v/new; sleep 1000'"))
            .ok();
        until_true("the file", || host.docker("exec c1 stat /v/new").code == 0);
        host.docker("exec c1 stat -c %u:%g /v/file /v/new").code(0).stdout("7:8\n0:0\n");
        for _ in ["running", "stopped"] {
            let listed = host.docker("cp c1:/v - | tar -tv --numeric-owner");
            listed.code(0).stdout_has(" 7/8 ").stdout_has(" 0/0 ");
            host.docker("stop -t 0 c1").ok();
        }
        let volume = host.inspect("c1", "{{(index .Mounts 0).Source}}");
        let on_disk = host.run("find", &[&volume, "-name", "new", "-uid", "0", "-gid", "0"]);
        on_disk.code(0).stdout_has("/new");
    });
}

fn mounted_images_have_the_containers_ids(host: &Host) {
    host.docker("run --name c0 busybox sh -c 'mkdir /d && touch /d/file && chown 7:8 /d/file'")
        .ok();
    host.docker("commit c0 made").ok();
    let image = "--mount type=image,src=made,dst=/image";
    let look = "sh -c 'stat -c %u:%g /image/d/file /image/bin/busybox; /image/bin/busybox echo runs; \
        touch /image/file'";
    for users in ["", "--userns=host"] {
        host.docker(&format!("run --rm {users} {image} busybox {look}"))
            .code(1)
            .stdout("7:8\n0:0\nruns\n")
            .stderr_has("Read-only file system");
    }
    let part = format!("{image},image-subpath=d");
    host.docker(&format!("run -d --name c1 {part} busybox sleep 1000")).ok();
    host.docker("exec c1 stat -c %u:%g /image/file").code(0).stdout("7:8\n");
    host.docker("cp c1:/image/file - | tar -tv --numeric-owner").code(0).stdout_has(" 7/8 ");
    host.docker("run --rm --volumes-from c1 busybox stat -c %u:%g /image/file")
        .code(0)
        .stdout("7:8\n");
    host.docker("rm -f c0 c1").ok();
}

#[test]
fn images_are_mounted_for_all_users() {
    for driver in ["overlay2", "vfs", "erofs"] {
        on_remapped_host(&["--storage-driver", driver], mounted_images_have_the_containers_ids);
    }
}

#[test]
fn it_is_started_again_and_taken_over_without_the_daemon() {
    on_remapped_host(&[], |host| {
        let script = "echo run by $(id -u) with $(cat /proc/self/uid_map); \
            test -e /again && exec sleep 1000; touch /again; \
            until test -e /vol/go; do sleep 0.1; done; exit 1";
        let script = format!("sh -c '{script}'");
        host.docker(&format!("run -d --name c1 --restart always -v data:/vol busybox {script}"))
            .ok();
        let volume = host.inspect("c1", "{{(index .Mounts 0).Source}}");
        let log = host.inspect("c1", "{{.LogPath}}");
        host.end_daemon(Signal::KILL);
        std::fs::write(format!("{volume}/go"), "").expect("write a file");
        until_true("the second run", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.matches("run by").count() == 2)
        });
        host.start_daemon();
        host.docker("exec c1 stat -c %u /again /vol /etc/hosts").code(0).stdout("0\n0\n0\n");
        let line = format!("run by 0 with 0 {FIRST_UID} 65536\n");
        host.docker("logs c1").code(0).stdout(&line.repeat(2));
        assert_eq!(uids(host, "c1"), [FIRST_UID.to_string().as_str(); 4].join(" "));
        host.docker("cp c1:/again - | tar -tv --numeric-owner").code(0).stdout_has("0/0");
    });
}

#[test]
fn whoever_breaks_out_is_nobody() {
    on_remapped_host(&[], |host| {
        let secret = host.scratch("secret").join("file");
        std::fs::write(&secret, "text").expect("write a file");
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("chmod a file");
        let place = secret.parent().expect("it has one").display().to_string();
        let setting = || std::fs::read_to_string("/proc/sys/kernel/panic").expect("read a setting");
        let before = setting();
        let script = "stat -c %u /host/file; cat /host/file; chown 0 /host/file; \
            echo 1 > /proc/sys/kernel/panic; mount -o remount,rw /proc/sys; \
            echo 1 > /proc/sys/kernel/panic; mknod /tmp-node b 254 0; \
            mkdir /sys/fs/cgroup/memory/x; mount -o remount,rw /sys/fs/cgroup/memory; \
            mkdir /sys/fs/cgroup/memory/x; echo 0 > /proc/self/oom_score_adj; \
            unshare -r true; hostname; touch /host/new";
        let all = "--cap-add ALL --security-opt seccomp=unconfined \
            --security-opt systempaths=unconfined --security-opt writable-cgroups=true";
        let run = host.docker(&format!("run --rm {all} -v {place}:/host busybox sh -c '{script}'"));
        assert!(run.stdout.starts_with("65534\n"), "{run:?}");
        for words in [
            "cat: can't open '/host/file': Permission denied",
            "chown: /host/file: Operation not permitted",
            "touch: /host/new: Permission denied",
        ] {
            assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
        }
        assert!(run.stderr.contains("/proc/sys/kernel/panic: Permission denied"), "{}", run.stderr);
        assert_eq!(run.stderr.matches("mknod: ").count(), 1, "{}", run.stderr);
        assert_eq!(run.stderr.matches("mkdir: can't create").count(), 2, "{}", run.stderr);
        assert_eq!(setting(), before);
    });
}

#[test]
fn users_of_the_host_gain_nothing_by_files_of_containers() {
    on_remapped_host(&[], |host| {
        let script = "cp /bin/busybox /shell && chmod 6755 /shell /vol && sleep 1000";
        host.docker(&format!("run -d --name c1 -v data:/vol busybox sh -c '{script}'")).ok();
        until_true("the file", || host.docker("exec c1 test -u /vol").code == 0);
        let pid = host.inspect("c1", "{{.State.Pid}}");
        let id = host.inspect("c1", "{{.Id}}");
        let written = PathBuf::from(host.inspect("c1", "{{.GraphDriver.Data.UpperDir}}"));
        let root = host.places().exec_root.join(format!("containers/{id}/rootfs"));
        // Another program in between: setpriv itself keeps root's rights.
        let by = |uid: u32, gid: u32, path: &str| {
            let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
            let script = format!("exec {path} id");
            host.run("setpriv", &[&uid, &gid, "--clear-groups", "sh", "-c", &script])
        };
        let shell = |directory: &Path| directory.join("shell").display().to_string();
        for uid in [1000, FIRST_UID] {
            for directory in [&written, &root, &PathBuf::from(format!("/proc/{pid}/root"))] {
                by(uid, 1000, &shell(directory)).code(126).stderr_has("Permission denied");
            }
        }
        // Only those who are root of containers pass, and not to what is on disk.
        by(FIRST_UID, FIRST_GID, &shell(&written)).code(126).stderr_has("Permission denied");
    });
}

#[test]
fn an_account_without_ids_is_refused_with_what_to_do() {
    let scratch = tempfile::tempdir().expect("make a scratch directory");
    let root = format!("--data-root={}", scratch.path().display());
    for (setting, words) in [
        ("no-such-user", "Error during uid lookup for \"no-such-user\""),
        ("a:b:c", "Invalid user/group specification in --userns-remap: \"a:b:c\""),
        ("daemon", "no subuid ranges found for user \"daemon\": assign some by"),
    ] {
        let setting = format!("--userns-remap={setting}");
        let mut tared = std::process::Command::new(programs::directory().join("tared"));
        let ran = run(tared.args([&root, &setting]));
        assert_ne!(ran.code, 0);
        ran.stderr_has("invalid value for userns-remap").stderr_has(words);
    }
}
