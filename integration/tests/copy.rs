//! `docker cp`: files into and out of containers that run and that don't.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tare_integration::archive::{Tar, gzip};
use tare_integration::hostile::{self, Canary, HOSTILE};
use tare_integration::{Host, Running, on_host, peer, until};

/// Starts a container that waits for nothing.
#[track_caller]
fn start(host: &Host, flags: &str) {
    host.docker(&format!("run -d {flags} busybox sleep 1000")).ok();
}

#[test]
fn files_go_in_and_come_out() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::write(here.join("file"), "hello\n").unwrap();
        std::fs::set_permissions(here.join("file"), PermissionsExt::from_mode(0o751)).unwrap();
        let file = here.join("file").display().to_string();
        start(host, "--name running");
        host.docker("create --name created busybox").ok();
        for name in ["running", "created"] {
            host.docker(&format!("cp {file} {name}:/tmp/new")).code(0).stdout("");
            host.docker(&format!("cp -q {file} {name}:/tmp")).code(0);
            // Twice is no harm, and over a file it takes the file's place.
            host.docker(&format!("cp {file} {name}:/tmp/new")).code(0);
            let back = here.join(name);
            host.docker(&format!("cp {name}:/tmp/new {}", back.display())).code(0);
            assert_eq!(std::fs::read_to_string(&back).unwrap(), "hello\n");
            assert_eq!(back.metadata().unwrap().permissions().mode() & 0o7777, 0o751);
            let (one, other) = (here.join("file").metadata().unwrap(), back.metadata().unwrap());
            assert_eq!(one.mtime(), other.mtime());
            host.docker(&format!("cp {name}:tmp/file {}/again", here.display())).code(0);
        }
        host.docker("exec running cat /tmp/new /tmp/file").code(0).stdout("hello\nhello\n");
        host.docker("start created").ok();
    });
}

#[test]
fn directories_follow_the_rules_of_cp() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::create_dir_all(here.join("src/deep")).unwrap();
        std::fs::write(here.join("src/deep/file"), "x").unwrap();
        symlink("deep/file", here.join("src/link")).unwrap();
        let here = here.display();
        start(host, "--name box");
        // To a name that isn't there, into a directory, and only what is in it.
        host.docker(&format!("cp {here}/src box:/tmp/new")).code(0);
        host.docker(&format!("cp {here}/src box:/tmp")).code(0);
        host.docker(&format!("cp {here}/src/. box:/home")).code(0);
        let found = host.docker("exec box sh -c 'cd / && find tmp home | sort'");
        found.code(0).stdout(
            "home\nhome/deep\nhome/deep/file\nhome/link\n\
             tmp\ntmp/new\ntmp/new/deep\ntmp/new/deep/file\ntmp/new/link\n\
             tmp/src\ntmp/src/deep\ntmp/src/deep/file\ntmp/src/link\n",
        );
        host.docker("exec box readlink /home/link").code(0).stdout("deep/file\n");
        // The same the other way.
        host.docker(&format!("cp box:/tmp/src {here}/out")).code(0);
        host.docker(&format!("cp box:/tmp/src/. {here}/in")).code(0);
        host.docker(&format!("cp box:/tmp/src {here}/in")).code(0);
        for file in ["out/deep/file", "in/deep/file", "in/src/deep/file", "in/src/link"] {
            assert_eq!(std::fs::read_to_string(host.scratch("here").join(file)).unwrap(), "x");
        }
    });
}

/// What `docker cp SOURCE box:/t/DESTINATION` does for each kind of both. A file has the text of
/// where it came from, and each place is asked for what it has then.
#[test]
fn every_kind_of_source_goes_to_every_kind_of_place() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::create_dir(here.join("dir")).unwrap();
        std::fs::write(here.join("file"), "new\n").unwrap();
        std::fs::write(here.join("dir/inner"), "new\n").unwrap();
        let make = "mkdir -p /t/dir && cd /t && echo old > old && ln -s /t/dir to-dir && \
                    ln -s none to-none && ln -s old to-old";
        start(host, "--name maker");
        host.docker(&format!("exec maker sh -c '{make}'")).ok();
        host.docker("commit maker places").ok();
        let there = |place: &str| Ok::<_, &str>(place.to_owned());
        for (source, destination, expected) in [
            ("file", "new", there("new")),
            ("file", "new/", Err("no such directory")),
            ("file", "old", there("old")),
            ("file", "old/", Err("no such directory")),
            ("file", "dir", there("dir/file")),
            ("file", "dir/.", there("dir/file")),
            ("file", "to-dir", there("dir/file")),
            ("file", "to-dir/", there("dir/file")),
            ("file", "to-old", there("old")),
            ("file", "to-none", there("none")),
            ("file", "to-none/", Err("no such directory")),
            ("file", "nothing/x", Err("Could not find the file /t/nothing in container box")),
            ("dir", "new", there("new/inner")),
            ("dir", "new/", there("new/inner")),
            ("dir", "dir", there("dir/dir/inner")),
            ("dir/.", "dir", there("dir/inner")),
            ("dir/.", "new", there("new/inner")),
            ("dir", "old", Err("cannot copy directory")),
            ("dir", "to-old", Err("cannot copy directory")),
            ("dir", "to-dir", there("dir/dir/inner")),
            ("dir/.", "to-dir/", there("dir/inner")),
            ("dir", "to-none", there("none/inner")),
        ] {
            host.docker("create --name box places").ok();
            let typed = format!("cp {}/{source} box:/t/{destination}", here.display());
            let copied = host.docker(&typed);
            match expected {
                Ok(place) => {
                    copied.code(0);
                    let found = host.docker(&format!("cp box:/t/{place} - | tar -xO"));
                    assert_eq!(found.stdout, "new\n", "{typed}");
                }
                Err(text) => {
                    copied.code(1).stderr_has(text);
                    host.docker("cp box:/t/old - | tar -xO").stdout("old\n");
                }
            }
            host.docker("rm box").ok();
        }
    });
}

#[test]
fn links_are_followed_where_docker_follows_them() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::write(here.join("file"), "x").unwrap();
        let here = here.display();
        start(host, "--name box");
        let make = "mkdir /data && echo in > /data/file && ln -s /data/file /file && \
                    ln -s ../data /tmp/data && ln -s /nowhere /broken";
        host.docker(&format!("exec box sh -c '{make}'")).ok();
        host.docker(&format!("cp box:/file {here}/as-link")).code(0);
        assert!(host.scratch("here").join("as-link").is_symlink());
        host.docker(&format!("cp -L box:/file {here}/as-file")).code(0);
        assert_eq!(std::fs::read_to_string(host.scratch("here").join("as-file")).unwrap(), "in\n");
        host.docker(&format!("cp box:/tmp/data/file {here}/through")).code(0);
        host.docker(&format!("cp {here}/file box:/tmp/data/")).code(0);
        host.docker("exec box cat /data/file").code(0).stdout("x");
        // What a link at the end leads to is written, also if it isn't there yet.
        host.docker(&format!("cp {here}/file box:/broken")).code(0);
        host.docker("exec box cat /nowhere").code(0).stdout("x");
        host.docker(&format!("cp {here}/file box:/tmp/data")).code(0);
    });
}

#[test]
fn archives_go_through_standard_input_and_output() {
    on_host(|host| {
        start(host, "--name box");
        let tar = Tar::new().directory("dir", 0o700).file("dir/file", 0o4755, b"packed").bytes();
        host.docker_with_input("cp - box:/tmp", &tar).code(0);
        host.docker_with_input("cp - box:/home", &gzip(&tar)).code(0);
        let facts = host.docker("exec box stat -c '%a %n' /tmp/dir /tmp/dir/file /home/dir/file");
        facts.code(0).stdout("700 /tmp/dir\n4755 /tmp/dir/file\n4755 /home/dir/file\n");
        let list = |path: &str| {
            let ran = host.docker(&format!("cp box:{path} - | tar -t"));
            ran.ok().to_owned()
        };
        assert_eq!(list("/tmp/dir"), "dir/\ndir/file");
        assert_eq!(list("/tmp/dir/"), "dir/\ndir/file");
        assert_eq!(list("/tmp/dir/."), "./\n./file");
        assert_eq!(list("/tmp/dir/file"), "file");
        assert_eq!(list("/bin/sh"), "sh");
        host.docker("cp box:/ - | tar -t").code(0).stdout_has("/bin/busybox\n");
        host.docker_with_input("cp - box:/tmp/dir/file", &tar)
            .code(1)
            .stderr_has("must be a directory");
        // What isn't an archive, or leads out of the directory, changes nothing.
        host.docker_with_input("cp - box:/tmp", &[b'x'; 2000]).code(1);
        host.docker_with_input("cp - box:/tmp", &Tar::new().raw_file("../../out", b"").bytes())
            .code(1);
        host.docker("exec box test -e /out").code(1);
    });
}

#[test]
fn what_is_wrong_is_said_in_dockers_words() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::create_dir(here.join("dir")).unwrap();
        std::fs::write(here.join("file"), "x").unwrap();
        let here = here.display();
        start(host, "--name box");
        host.docker(&format!("cp box:/nope {here}/x"))
            .code(1)
            .stderr_has("Could not find the file /nope in container box");
        host.docker(&format!("cp {here}/file box:/nope/file"))
            .code(1)
            .stderr_has("Could not find the file /nope in container box");
        host.docker(&format!("cp nosuch:/x {here}/x"))
            .code(1)
            .stderr_has("No such container: nosuch");
        host.docker(&format!("cp {here}/file nosuch:/x"))
            .code(1)
            .stderr_has("No such container: nosuch");
        host.docker(&format!("cp {here}/dir box:/etc/passwd"))
            .code(1)
            .stderr_has("cannot copy directory");
        host.docker("exec box mkdir /tmp/file").ok();
        let tar = Tar::new().file("file", 0o644, b"x").bytes();
        host.docker_with_input("cp - box:/tmp", &tar).code(1).stderr_has(
            "daemon: cannot overwrite directory \"file\" with non-directory \"/tmp\"\n",
        );
        host.docker(&format!("cp box:/etc/passwd/ {here}/x")).code(1).stderr_has("not a directory");
        let answer = host.get("/containers/box/archive");
        assert_eq!(answer.status, 400);
        assert!(answer.message().ends_with("cannot be empty"), "{answer:#?}");
        assert_eq!(host.get("/containers/box/archive?path=/nope").status, 404);
        assert_eq!(host.get("/containers/box/archive?path=/etc/passwd/").status, 500);
    });
}

#[test]
fn volumes_and_mounts_are_seen() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::write(here.join("file"), "x").unwrap();
        let bound = host.scratch("bound");
        let (here, bind) = (here.display(), bound.display());
        let flags = format!("-v data:/data -v {bind}:/deep/er/bound -v {here}/file:/etc/one.conf");
        start(host, &format!("--name running {flags}"));
        host.docker(&format!("create --name created {flags} busybox")).ok();
        for name in ["running", "created"] {
            host.docker(&format!("cp {here}/file {name}:/data/{name}")).code(0);
            host.docker(&format!("cp {here}/file {name}:/deep/er/bound/{name}")).code(0);
            assert_eq!(std::fs::read_to_string(bound.join(name)).unwrap(), "x");
            let all = host.docker(&format!("cp {name}:/deep - | tar -t"));
            all.code(0).stdout_has(&format!("deep/er/bound/{name}\n"));
            host.docker(&format!("cp {name}:/etc/one.conf - | tar -xO")).code(0).stdout("x");
            // What is mounted there stays.
            host.docker(&format!("cp {here}/file {name}:/etc/one.conf")).code(1).stderr_has("busy");
        }
        host.docker("exec running sh -c 'ls /data /deep/er/bound'")
            .code(0)
            .stdout("/data:\ncreated\nrunning\n\n/deep/er/bound:\ncreated\nrunning\n");
        let hosts = host.docker("exec running cat /etc/hosts").ok().to_owned();
        let copied = host.docker("cp running:/etc/hosts - | tar -xO");
        assert_eq!(copied.ok(), hosts);
        let shown = host.docker("cp running:/proc - | tar -t");
        shown.code(0).stdout("proc/\n");
    });
}

/// Docker's own daemon puts files under a tmpfs, where the container never sees them.
#[test]
fn memory_of_a_running_container_is_seen() {
    if !peer::is_tared("docker cp into a tmpfs") {
        return;
    }
    on_host(|host| {
        start(host, "--name box --tmpfs /memory --mount type=tmpfs,target=/deep/memory");
        let tar = Tar::new().file("file", 0o644, b"x").bytes();
        for place in ["/memory", "/deep/memory"] {
            host.docker_with_input(&format!("cp - box:{place}"), &tar).code(0);
            host.docker(&format!("exec box cat {place}/file")).code(0).stdout("x");
            host.docker(&format!("exec box sh -c 'echo y > {place}/file'")).ok();
            host.docker(&format!("cp box:{place}/file - | tar -xO")).code(0).stdout("y\n");
        }
    });
}

#[test]
fn what_is_read_only_is_not_written() {
    on_host(|host| {
        let tar = Tar::new().file("file", 0o644, b"x").bytes();
        let bind = host.scratch("bound");
        let bind = bind.display();
        start(
            host,
            &format!("--name box --read-only -v data:/data -v logs:/logs:ro -v {bind}:/b:ro"),
        );
        host.docker_with_input("cp - box:/tmp", &tar)
            .code(1)
            .stderr_has("container rootfs is marked read-only");
        for place in ["/logs", "/b"] {
            host.docker_with_input(&format!("cp - box:{place}"), &tar)
                .code(1)
                .stderr_has("mounted volume is marked read-only");
        }
        host.docker_with_input("cp - box:/data", &tar).code(0);
        host.docker("exec box cat /data/file").code(0).stdout("x");
        // By way of a directory that may be written.
        start(host, "--name other -v logs:/home/logs:ro");
        let through = Tar::new().file("logs/file", 0o644, b"x").bytes();
        host.docker_with_input("cp - other:/home", &through).code(1).stderr_has("read-only");
        host.docker("exec other ls /home/logs").code(0).stdout("");
    });
}

#[test]
fn owners_are_the_archives_or_the_containers_user() {
    on_host(|host| {
        let here = host.scratch("here");
        std::fs::write(here.join("file"), "x").unwrap();
        std::os::unix::fs::chown(here.join("file"), Some(1234), Some(2345)).unwrap();
        let here = here.display();
        start(host, "--name box -u alice");
        host.docker(&format!("cp {here}/file box:/tmp/plain")).code(0);
        host.docker(&format!("cp -a {here}/file box:/tmp/own")).code(0);
        host.docker("exec box stat -c '%u:%g' /tmp/plain /tmp/own")
            .code(0)
            .stdout("1234:2345\n1000:1000\n");
        start(host, "--name other");
        host.docker(&format!("cp -a {here}/file other:/tmp/own")).code(0);
        host.docker("exec other stat -c '%u:%g' /tmp/own").code(0).stdout("1234:2345\n");
    });
}

#[test]
fn copies_are_events() {
    on_host(|host| {
        host.docker("create --name box busybox").ok();
        host.docker_with_input("cp - box:/tmp", &Tar::new().file("file", 0o644, b"x").bytes())
            .code(0);
        host.docker("cp box:/tmp/file -").code(0);
        let events = "events --since 1h --filter container=box --format '{{.Action}}'";
        let watcher = host.docker_running(events);
        watcher.wait_for_stdout("archive-path");
        assert_eq!(watcher.stdout(), "create\nextract-to-dir\narchive-path\n");
    });
}

/// What sparse files, hard links and times are doesn't change on the way.
#[test]
fn a_tree_comes_back_as_it_went() {
    on_host(|host| {
        start(host, "--name box");
        let make = "mkdir /d && cd /d && echo x > a && ln a b && touch -d @1234567890 a && \
                    truncate -s 100M sparse && echo end >> sparse && mkfifo p && chmod 1777 /d";
        host.docker(&format!("exec box sh -c '{make}'")).ok();
        let facts =
            "cd /d && stat -c '%n %F %s %a %Y %h' a b sparse p . && md5sum sparse && du -k sparse";
        let before = host.docker(&format!("exec box sh -c \"{facts}\"")).ok().to_owned();
        host.docker("run -d --name other busybox sleep 1000").ok();
        host.docker("cp box:/d - | docker cp - other:/").code(0);
        let after = host.docker(&format!("exec other sh -c \"{facts}\"")).ok().to_owned();
        if peer::is_tared("holes that stay holes") {
            assert_eq!(after, before);
        }
    });
}

/// While it runs, a container exchanges what `docker cp` is asked for with a link to the host.
struct Racer<'a> {
    host: &'a Host,
    canary: Canary,
}

impl<'a> Racer<'a> {
    /// A container `racer` in which `/v/turn` is a directory now and a link to the host then.
    #[track_caller]
    fn start(host: &'a Host, flags: &str, target: impl Fn(&Canary) -> String) -> Self {
        hostile::load(host);
        let canary = Canary::on(host);
        let target = target(&canary);
        let race = format!(
            "mkdir -p /v/turn && echo inside > /v/turn/file && ln -s {target} /v/link && echo ready && \
             exec tare-hostile exchange /v/turn /v/link"
        );
        host.docker(&format!("run -d --name racer {flags} {HOSTILE} sh -c '{race}'")).ok();
        until("the racer", || host.docker("logs racer").stdout.contains("ready").then_some(()));
        Self { host, canary }
    }
}

/// CVE-2018-15664: a path is checked, exchanged, and then used.
#[test]
fn racing_links_lead_no_copy_to_the_host() {
    on_host(|host| {
        for target in [
            |canary: &Canary| canary.directory().display().to_string(),
            |canary: &Canary| format!("../../../../../../../../..{}", canary.directory().display()),
        ] {
            let race = Racer::start(host, "", target);
            let tar = Tar::new().file("made", 0o666, b"x").file("file", 0o666, b"changed").bytes();
            let deep = Tar::new()
                .directory("turn", 0o777)
                .file("turn/file", 0o666, b"changed")
                .file("turn/made", 0o666, b"x")
                .pipe("turn/pipe", 0o4777)
                .bytes();
            for _ in 0..25 {
                // Whether it works depends on who is faster; what counts is the host.
                race.host.docker_with_input("cp - racer:/v/turn", &tar);
                race.host.docker_with_input("cp - racer:/v", &deep);
                let out = race.host.docker("cp racer:/v/turn/file - | tar -xO");
                assert!(!out.stdout.contains("the host's own"), "{out:#?}");
                let all = race.host.docker("cp racer:/v - | tar -xO");
                assert!(!all.stdout.contains("the host's own"), "{all:#?}");
                race.canary.is_untouched();
            }
            host.docker("rm -f racer").ok();
            std::fs::remove_dir_all(race.canary.directory()).unwrap();
        }
    });
}

/// While pipes are unpacked, the container puts a link in the place of each as soon as it is made: a
/// mode that is set by name then goes to a file of the host's.
#[test]
fn modes_are_set_through_no_link() {
    const PIPES: u32 = 1000;
    on_host(|host| {
        hostile::load(host);
        let canary = Canary::on(host);
        for _ in 0..3 {
            let race = format!(
                "mkdir /from /to && cd /from && seq 0 {} | xargs touch && exec tare-hostile replace \
                 /from /to {}",
                PIPES - 1,
                canary.file().display()
            );
            host.docker(&format!("run -d --name racer {HOSTILE} sh -c '{race}'")).ok();
            until("the racer", || host.docker("logs racer").stdout.contains("ready").then_some(()));
            let order = host.docker("exec racer find /from -type f").ok().to_owned();
            let pipes = order
                .lines()
                .fold(Tar::new(), |tar, file| tar.pipe(file.trim_start_matches("/from/"), 0o4777));
            host.docker_with_input("cp - racer:/to", &pipes.bytes());
            host.docker("rm -f racer").ok();
            canary.is_untouched();
        }
    });
}

/// CVE-2026-42306: the place of a mount is exchanged, and the mount is made on the host.
#[test]
fn places_of_mounts_stay_inside() {
    on_host(|host| {
        let canary = Canary::on(host);
        let directory = canary.directory().display().to_string();
        for target in [directory.clone(), format!("../../../../../../..{directory}")] {
            hostile::load_image(
                host,
                "linked",
                Tar::new().link("data", &target),
                serde_json::json!({}),
            );
            let flags = "-v vol:/data/volume --tmpfs /data/memory -v vol:/data/deep/er";
            host.docker(&format!("create --name created {flags} linked sleep 1000"));
            host.docker(&format!("run -d --name running {flags} linked sleep 1000"));
            let tar = Tar::new().file("made", 0o666, b"x").bytes();
            for name in ["created", "running"] {
                for place in ["/data", "/data/volume", "/data/deep/er", "/"] {
                    host.docker_with_input(&format!("cp - {name}:{place}"), &tar);
                    host.docker(&format!("cp {name}:{place} -"));
                    canary.is_untouched();
                }
                host.docker(&format!("rm -f {name}"));
            }
        }
        let race = Racer::start(host, "-v vol:/v/turn/volume -v vol:/v/turn/deep/er", |canary| {
            canary.directory().display().to_string()
        });
        for _ in 0..10 {
            host.docker("cp racer:/v -");
            host.docker_with_input(
                "cp - racer:/v/turn/volume",
                &Tar::new().file("made", 0o666, b"").bytes(),
            );
            race.canary.is_untouched();
        }
    });
}

/// CVE-2019-14271, CVE-2026-41567: libraries and decompressors of the container's are run by the
/// daemon, which has the host's rights.
#[test]
fn nothing_of_the_containers_is_run() {
    if !peer::is_tared("uncompressing without a program") {
        return;
    }
    on_host(|host| {
        let canary = Canary::on(host);
        let trap =
            format!("#!/bin/busybox sh\ntouch /trapped {}/made\n", canary.directory().display());
        let mut layer = Tar::new();
        for name in ["unpigz", "igzip", "pigz", "gzip", "xz", "unxz", "zstd", "bzip2", "tar"] {
            for directory in ["usr/bin", "usr/local/bin", "sbin"] {
                layer = layer.file(&format!("{directory}/{name}"), 0o755, trap.as_bytes());
            }
        }
        for name in ["libnss_files.so.2", "libc.so.6", "libnss_compat.so.2"] {
            layer = layer.file(&format!("lib/x86_64-linux-gnu/{name}"), 0o755, b"\x7fELF not one");
        }
        let nss = layer.file("etc/nsswitch.conf", 0o644, b"passwd: trap files\n");
        hostile::load_image(host, "trap", nss, serde_json::json!({ "User": "alice" }));
        host.docker("run -d --name box trap sleep 1000").ok();
        let tar = Tar::new().file("file", 0o644, b"x").bytes();
        let packed = |program: &str| {
            let file = host.scratch("packed").join("archive");
            std::fs::write(&file, &tar).unwrap();
            host.run("sh", &["-c", &format!("{program} < {0} > {0}.packed", file.display())]).ok();
            std::fs::read(file.with_extension("packed")).unwrap()
        };
        for archive in [gzip(&tar), packed("xz"), packed("zstd"), tar.clone()] {
            host.docker_with_input("cp -a - box:/tmp", &archive).code(0);
            host.docker("exec -u root box stat -c %u /tmp/file").code(0).stdout("1000\n");
            host.docker("exec -u root box rm /tmp/file").ok();
        }
        host.docker("cp -a box:/usr -").code(0);
        host.docker("exec box test -e /trapped").code(1);
        canary.is_untouched();
    });
}

/// A client that reads an archive slowly, or not at all, holds nothing up.
#[test]
fn a_copy_under_way_holds_up_nobody() {
    if !peer::is_tared("a container that goes on while someone copies from it") {
        return;
    }
    on_host(|host| {
        start(host, "--name box");
        host.docker("exec box sh -c 'dd if=/dev/urandom of=/big bs=1M count=32 2>/dev/null'").ok();
        let stuck: Running = host.docker_running("cp box:/big - | (head -c 1; sleep 1000)");
        until("the copy", || (!stuck.stdout().is_empty()).then_some(()));
        host.docker("stop -t 0 box").code(0);
        host.docker("start box").code(0);
        host.docker("exec box test -s /big").code(0);
        host.docker("rm -f box").code(0);
        drop(stuck);
    });
}
