//! What goes wrong is answered with docker's status and a clear message, and leaves nothing behind.

use std::io::Write;
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tare_integration::archive::{DockerArchive, Tar, gzip, noise, pack};
use tare_integration::http::{self, Answer};
use tare_integration::images::{busybox_archive, busybox_tar};
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, on_host_with};

/// What docker's daemon and ours say of an archive that ends in the middle.
const CUT_OFF: [&str; 2] = ["unexpected EOF", "it was cut off"];

/// `docker load` of this archive fails, says why, and leaves nothing.
#[track_caller]
fn refuses_to_load(host: &Host, archive: &[u8], why: &[&str]) {
    let before = host.footprint();
    host.docker_with_input("load", archive).code(1).stderr_has_one_of(why);
    host.leaves_nothing_since(&before);
    host.docker("images -aq").stdout("");
}

#[test]
fn a_broken_archive() {
    on_host_with(&[], |host| {
        let whole = busybox_archive();
        refuses_to_load(host, &whole[..whole.len() / 2], &CUT_OFF);
        refuses_to_load(host, &gzip(&whole)[..100_000], &CUT_OFF);
        host.docker_with_input("load", b"this is no archive at all").code(1);
        host.docker_with_input("load", b"").code(1);
        host.docker("images -aq").stdout("");
    });
}

#[test]
fn an_archive_whose_layer_is_not_what_its_config_says() {
    on_host_with(&[], |host| {
        let archive = DockerArchive {
            tags: vec!["x:1".to_owned()],
            layers: vec![busybox_tar().to_vec()],
            config: json!({}),
        };
        let mut parts = archive.parts();
        let layer = parts.iter_mut().find(|(name, _)| name == "layer1.tar").expect("a layer");
        layer.1 = Tar::new().file("other", 0o644, b"").bytes();
        refuses_to_load(host, &pack(&parts), &[""]);
    });
}

#[test]
fn an_archive_without_its_parts() {
    on_host_with(&[], |host| {
        let archive = DockerArchive {
            tags: vec!["x:1".to_owned()],
            layers: vec![busybox_tar().to_vec()],
            config: json!({}),
        };
        for missing in [".json", "layer1.tar", "manifest.json"] {
            let mut parts = archive.parts();
            let index = parts.iter().position(|(name, _)| name.ends_with(missing));
            parts.remove(index.expect("it is there"));
            refuses_to_load(host, &pack(&parts), &[""]);
        }
        let mut parts = archive.parts();
        parts[0].1 = b"{ this is no JSON".to_vec();
        refuses_to_load(host, &pack(&parts), &[""]);
    });
}

#[test]
fn a_broken_file_tree_to_import() {
    on_host_with(&[], |host| {
        let before = host.footprint();
        let whole = busybox_tar();
        host.docker_with_input("import - x", &whole[..whole.len() / 2])
            .code(1)
            .stderr_has_one_of(&CUT_OFF);
        host.docker_with_input("import -c 'NONSENSE x' - x", whole).code(1).stderr_has("NONSENSE");
        host.docker_with_input("import - 'Bad Name'", whole)
            .code(1)
            .stderr_has("invalid reference");
        host.leaves_nothing_since(&before);
    });
}

#[test]
fn an_archive_that_reaches_out_of_its_root() {
    on_host_with(&[], |host| {
        let outside = host.scratch("outside");
        let target = outside.join("file").display().to_string();
        std::fs::write(&target, "safe").expect("write a file");
        let trees = [
            Tar::new().raw_file("../../../../../../../../tmp/tare-escaped", b"out").bytes(),
            Tar::new().raw_file("/tmp/tare-escaped", b"out").bytes(),
            Tar::new().link("way", "/tmp").file("way/tare-escaped", 0o644, b"out").bytes(),
            Tar::new().link("way", &target).file("way", 0o644, b"out").bytes(),
        ];
        for tree in trees {
            host.docker_with_input("import - x", &tree);
            assert!(!std::path::Path::new("/tmp/tare-escaped").exists());
            assert_eq!(std::fs::read_to_string(&target).expect("read it"), "safe");
        }
    });
}

#[test]
fn a_program_that_is_missing() {
    on_host(|host| {
        let before = host.footprint();
        host.docker("run --rm -p 8080:80 busybox /no/such").code(127).stderr_has("/no/such");
        host.leaves_nothing_since(&before);
        let created =
            host.post("/containers/create?name=c1", r#"{"Image": "busybox", "Cmd": ["/no/such"]}"#);
        assert_eq!(created.status, 201, "{created:?}");
        let answer = host.post("/containers/c1/start", "");
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.message().contains("no such file or directory"), "{answer:?}");
    });
}

#[test]
fn a_port_in_use() {
    on_host(|host| {
        host.docker("run -d --name first -p 8080:80 busybox sleep 1000").ok();
        let before = host.footprint();
        host.docker("run --rm --name second -p 8080:80 busybox true")
            .code(125)
            .stderr_has("Bind for 0.0.0.0:8080 failed: port is already allocated");
        host.docker("ps -aq --filter name=second").stdout("");
        host.leaves_nothing_since(&before);

        // The daemon does not know of this one.
        let _other = host.running("perl", &["-MIO::Socket::INET", "-e",
            "$s = IO::Socket::INET->new(LocalAddr => '127.0.0.1:9090', Listen => 1) or die; print \"up\\n\"; $|=1; print \"up\\n\"; sleep 1000"]);
        _other.wait_for_stdout("up");
        host.docker("run --rm -p 9090:80 busybox true")
            .code(125)
            .stderr_has("address already in use");
        host.docker("create --name third -p 8080:80 busybox sleep 1000").ok();
        let answer = host.post("/containers/third/start", "");
        assert_eq!(answer.status, 500, "{answer:?}");
        host.docker("rm third").ok();
        host.leaves_nothing_since(&before);
        // And the other way round: a port of ours is taken for other programs.
        host.docker("rm -f first").ok();
        host.docker("run --rm -p 8080:80 busybox true").ok();
    });
}

#[test]
fn a_name_in_use() {
    on_host(|host| {
        host.docker("create --name c1 busybox").ok();
        let before = host.footprint();
        let answer = host.post("/containers/create?name=c1", r#"{"Image": "busybox"}"#);
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(
            answer.message().contains("The container name \"/c1\" is already in use"),
            "{answer:?}"
        );
        host.leaves_nothing_since(&before);
    });
}

#[test]
fn requests_that_make_no_sense() {
    on_host(|host| {
        let before = host.footprint();
        let create = |body: &str| host.post("/containers/create?name=c1", body);
        let refused = |answer: Answer, status: u16, words: &str| {
            assert_eq!(answer.status, status, "{answer:?}");
            let message = answer.message().to_lowercase();
            assert!(message.contains(&words.to_lowercase()), "{words:?} in {answer:?}");
        };
        refused(create("{"), 400, "");
        refused(create(""), 400, "");
        refused(create("[1, 2]"), 400, "");
        refused(create(r#"{"Image": 5}"#), 400, "");
        refused(create(r#"{"Image": "busybox", "HostConfig": {"Memory": "much"}}"#), 400, "");
        refused(create(r#"{"Image": "busybox", "Cmd": []}{"#), 400, "");
        refused(create(r#"{"Image": ""}"#), 400, "");
        refused(create(r#"{"Image": "nowhere"}"#), 404, "No such image: nowhere:latest");
        refused(create(r#"{"Image": "busybox", "WorkingDir": "relative"}"#), 400, "relative");
        refused(
            host.post("/containers/create?name=bad/name", r#"{"Image": "busybox"}"#),
            400,
            "name",
        );
        refused(host.get("/containers/nobody/json"), 404, "No such container: nobody");
        refused(host.post("/containers/nobody/start", ""), 404, "No such container: nobody");
        refused(host.delete("/containers/nobody"), 404, "No such container: nobody");
        refused(host.get("/no/such/page"), 404, "page not found");
        refused(host.get("/containers/json?filters=nonsense"), 400, "");
        refused(host.get("/images/nowhere/json"), 404, "No such image: nowhere");
        refused(host.post("/exec/nothing/start", "{}"), 404, "No such exec instance: nothing");
        host.docker("ps -aq").stdout("");
        host.leaves_nothing_since(&before);
        host.docker("run --rm busybox true").ok();
    });
}

#[test]
fn an_option_that_tared_does_not_have_is_named() {
    if !tare_integration::peer::is_tared("its words on what it lacks") {
        return;
    }
    on_host(|host| {
        let before = host.footprint();
        // Docker passes over it, clients send such things; here they hear of it.
        for body in [
            r#"{"Image": "busybox", "NoSuchOption": true}"#,
            r#"{"Image": "busybox", "HostConfig": {"NoSuchOption": true}}"#,
        ] {
            let answer = host.post("/containers/create?name=c1", body);
            assert_eq!(answer.status, 201, "{answer:?}");
            assert!(answer.body.contains("NoSuchOption is no setting"), "{answer:?}");
            host.docker("rm c1").ok();
        }
        // The same as its zero is as good as nothing.
        let answer = host.post("/swarm/init", "{}");
        assert!(answer.status >= 400 && answer.message().contains("not supported"), "{answer:?}");
        host.leaves_nothing_since(&before);
    });
}

#[test]
fn a_body_that_is_cut_off() {
    on_host(|host| {
        let before = host.footprint();
        let socket = &host.places().socket;
        let body = br#"{"Image": "busy"#;
        let answer = http::post_cut_off(socket, "/containers/create?name=c1", 1000, body);
        // Half a body can be answered or not; it is never half obeyed.
        if let Ok(answer) = answer {
            assert!(answer.status == 400 || answer.status == 0, "{answer:?}");
        }
        let half = &busybox_archive()[..500_000];
        let answer = http::post_cut_off(socket, "/images/load", 5_000_000, half);
        assert!(!answer.is_ok_and(|answer| answer.body.contains("Loaded image")));
        host.docker("ps -aq").stdout("");
        host.leaves_nothing_since(&before);
        host.docker("run --rm busybox true").ok();
    });
}

#[test]
fn a_head_without_end_and_one_that_is_no_http() {
    on_host_with(&[], |host| {
        let socket = &host.places().socket;
        let nonsense = http::exchange(socket, "\x16\x03\x01\x02\x00nonsense\r\n\r\n");
        assert!(!nonsense.is_ok_and(|answer| answer.status == 200));
        let mut stream = http::connect(socket).expect("connect");
        let line = format!("X-Long: {}\r\n", "x".repeat(8000));
        let _ = stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n");
        let sent = (0..10_000).take_while(|_| stream.write_all(line.as_bytes()).is_ok()).count();
        assert!(sent < 10_000, "a head of 80 MB is not read to its end");
        assert_eq!(host.get("/_ping").status, 200);
    });
}

#[test]
fn ten_thousand_idle_connections() {
    const CONNECTIONS: usize = 10_000;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("raise the number of open files");
    assert!(limit.maximum.is_none_or(|most| most > CONNECTIONS as u64 + 1000), "{limit:?}");
    on_host(|host| {
        let before = host.footprint();
        let memory = || daemon_memory(host);
        let at_first = memory();
        assert!(at_first > 0, "the daemon's memory is not known");
        let idle: Vec<UnixStream> = (0..CONNECTIONS)
            .map(|n| {
                let mut stream = http::connect(&host.places().socket).expect("connect");
                // Every other one has begun to say something.
                if n % 2 == 0 {
                    stream.write_all(b"GET /_ping HTTP/1.1\r\n").expect("write");
                }
                stream
            })
            .collect();
        host.docker("run --rm busybox echo served").code(0).stdout("served\n");
        assert_eq!(host.get("/_ping").status, 200);
        let grown = memory().saturating_sub(at_first) / CONNECTIONS as u64;
        assert!(grown < 64 << 10, "each idle connection costs {grown} bytes");
        drop(idle);
        host.leaves_nothing_since(&before);
    });
}

/// The daemon's memory in bytes.
fn daemon_memory(host: &Host) -> u64 {
    let status = host.run("cat", &[&format!("/proc/{}/status", host.daemon_pid())]);
    let line = status.lines().into_iter().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

#[test]
fn a_full_disk() {
    // The daemon's data is on a file system of 48 MB, made in a file.
    on_host_with(&[], |host| {
        host.end_daemon(rustix::process::Signal::TERM);
        let disk = host.scratch("disk").join("image");
        let (disk, data) =
            (disk.display().to_string(), host.places().data_root.display().to_string());
        host.run("sh", &["-c", &format!("rm -rf {data}/* && truncate -s 48M {disk} && mkfs.ext4 -q {disk} && mount -o loop {disk} {data}")]).ok();
        host.start_daemon();
        host.docker_with_input("load", &busybox_archive()).ok();
        let before = host.footprint();

        let big = Tar::new().file("big", 0o644, &noise(0, 100 << 20)).bytes();
        let answer = host.docker_with_input("import - big", &big);
        answer.code(1).stderr_has("no space left on device");
        host.leaves_nothing_since(&before);

        let ran = host.docker("run --rm busybox sh -c 'cat /dev/urandom > /big'");
        ran.code(1).stderr_has("No space left on device");
        host.leaves_nothing_since(&before);

        // With not a byte left, nothing new is made, and what is there can be listed and removed.
        host.docker("create --name c1 busybox").ok();
        let shared = host.scratch("shared");
        let waits = "while [ ! -e /s/end ]; do usleep 10000; done; exit 7";
        let shared_there = format!("-v {}:/s", shared.display());
        host.docker(&format!("run -d --name c2 {shared_there} busybox sh -c '{waits}'")).ok();
        host.run("sh", &["-c", &format!("cat /dev/zero > {data}/fill")]);
        for n in 0..3 {
            host.docker(&format!("create --name more{n} busybox"));
        }
        host.docker("ps -a").code(0).stdout_has("c1");
        host.docker("images").code(0).stdout_has("busybox");
        // An end is told, and is known to the next daemon.
        std::fs::write(shared.join("end"), "").unwrap();
        host.docker("wait c2").code(0).stdout("7\n");
        host.end_daemon(rustix::process::Signal::KILL);
        host.run("rm", &[&format!("{data}/fill")]).ok();
        host.start_daemon();
        assert_eq!(host.inspect("c2", "{{.State.Status}} {{.State.ExitCode}}"), "exited 7");
        host.remove_everything();
        host.docker_with_input("load", &busybox_archive()).ok();
        host.docker("run --rm busybox echo works").code(0).stdout("works\n");
        host.remove_everything();
        host.end_daemon(rustix::process::Signal::TERM);
        host.run("umount", &[&data]).ok();
        host.start_daemon();
    });
}

#[test]
fn a_start_that_fails_half_way_is_taken_back() {
    on_host(|host| {
        let before = host.footprint();
        host.docker("run --rm -p 8080:80 -v /proc:/proc/1 busybox true");
        host.docker("run --rm --network container:nobody busybox true")
            .code(125)
            .stderr_has("No such container: nobody");
        host.docker("run --rm --device /no/such/device busybox true").stderr_has("/no/such/device");
        host.docker("run --rm -p 8080:80 --mount type=bind,src=/no/such,dst=/x busybox true")
            .code(125)
            .stderr_has("bind source path does not exist: /no/such");
        until_true("no container", || host.docker("ps -aq").stdout.is_empty());
        host.leaves_nothing_since(&before);
    });
}
