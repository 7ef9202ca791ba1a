//! `logs`: what a container wrote, whenever one asks.

use rustix::process::Signal;
use tare_integration::on_host;
use tare_integration::peer::is_tared;
use tare_integration::wait::{DEADLINE, until_true};

#[test]
fn both_streams_are_kept_apart() {
    on_host(|host| {
        host.docker("run --name c1 busybox sh -c 'echo out; echo err >&2'").ok();
        let logs = host.docker("logs c1");
        logs.code(0).stdout("out\n");
        assert_eq!(logs.stderr, "err\n");
    });
}

#[test]
fn the_last_lines_can_be_asked_for() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox seq 1 5000").ok();
        host.docker("wait c1").ok();
        host.docker("logs --tail 2 c1").code(0).stdout("4999\n5000\n");
        host.docker("logs --tail 0 c1").code(0).stdout("");
        host.docker("logs -n 10000 c1").code(0).stdout_has("1\n2\n3\n");
        assert_eq!(host.docker("logs c1").lines().len(), 5000);
        assert_eq!(host.docker("logs --tail all c1").lines().len(), 5000);
    });
}

#[test]
fn times_are_shown_and_chosen_by() {
    on_host(|host| {
        host.docker("run -d -i --name c1 busybox sh -c 'echo one; read x; echo two'").ok();
        until_true("the first line", || host.docker("logs c1").stdout == "one\n");
        let first = host.docker("logs -t c1").ok().to_owned();
        let (time, text) = first.split_once(' ').expect("a time and a text");
        assert_eq!(text, "one");
        assert!(
            time.ends_with('Z') && time.len() == "2024-01-02T03:04:05.123456789Z".len(),
            "{time}"
        );
        host.docker_with_input("attach c1", b"go\n").ok();
        let second = host.docker("logs -t --tail 1 c1").ok().to_owned();
        let (time, _) = second.split_once(' ').expect("a time and a text");
        host.docker(&format!("logs --since {time} c1")).code(0).stdout("two\n");
        host.docker(&format!("logs --until {time} c1")).code(0).stdout_has("one\n");
        host.docker("logs --since 1h c1").code(0).stdout("one\ntwo\n");
        host.docker("logs --since 2000-01-01 c1").code(0).stdout("one\ntwo\n");
        host.docker("logs --until 2000-01-01 c1").code(0).stdout("");
    });
}

#[test]
fn they_can_be_followed_to_the_end() {
    on_host(|host| {
        host.docker(
            "run -d -i --name c1 busybox sh -c 'echo one; read x; echo two; read x; exit 3'",
        )
        .ok();
        let follower = host.docker_running("logs -f c1");
        follower.wait_for_stdout("one\n");
        let mut person = host.docker_running("attach c1");
        person.write(b"\n");
        follower.wait_for_stdout("two\n");
        person.write(b"\n");
        follower.wait().code(0).stdout("one\ntwo\n");
    });
}

#[test]
fn a_line_without_an_end_and_a_very_long_one_are_whole() {
    on_host(|host| {
        host.docker("run --name c1 busybox printf 'no end'").ok();
        host.docker("logs c1").code(0).stdout("no end");
        host.docker("run --name c2 busybox sh -c 'head -c 100000 /dev/zero | tr \\\\0 x; echo'")
            .ok();
        let long = host.docker("logs c2");
        assert!(long.code(0).stdout == "x".repeat(100_000) + "\n", "{} bytes", long.stdout.len());
        assert_eq!(host.docker("logs -t c2").lines().len(), 1);
    });
}

#[test]
fn a_driver_can_be_chosen() {
    on_host(|host| {
        host.docker("run --name c1 --log-driver none busybox echo x").code(0).stdout("x\n");
        host.docker("logs c1").code(1).stderr_has("does not support reading");
        host.docker("run --name c2 --log-driver nonsense busybox true").code(125);
        assert_eq!(host.inspect("c1", "{{.HostConfig.LogConfig.Type}}"), "none");
        host.docker("create --name c3 busybox").ok();
        assert_eq!(host.inspect("c3", "{{.HostConfig.LogConfig.Type}}"), "json-file");
    });
}

#[test]
fn the_log_file_is_in_dockers_format() {
    on_host(|host| {
        host.docker("run --name c1 busybox sh -c 'echo one; echo two >&2'").ok();
        let path = host.inspect("c1", "{{.LogPath}}");
        assert!(path.starts_with(&host.places().data_root.display().to_string()), "{path}");
        let log = std::fs::read_to_string(path).expect("read the log");
        let mut lines: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        lines.sort_by_key(|line| line["log"].to_string());
        assert_eq!((&lines[0]["log"], &lines[0]["stream"]), (&"one\n".into(), &"stdout".into()));
        assert_eq!((&lines[1]["log"], &lines[1]["stream"]), (&"two\n".into(), &"stderr".into()));
        assert!(lines[0]["time"].is_string());
    });
}

#[test]
fn the_local_driver_is_read_as_the_others_are() {
    on_host(|host| {
        let options = "--log-driver local --log-opt max-size=10k --log-opt max-file=3";
        host.docker(&format!("run --name c1 {options} busybox seq 1 3000")).ok();
        host.docker("logs --tail 2 c1").code(0).stdout("2999\n3000\n");
        let all = host.docker("logs c1");
        let first: u32 = all.lines()[0].parse().expect("a number");
        assert!(first > 1, "nothing was rotated away");
        let expected: Vec<_> = (first..=3000).map(|number| number.to_string()).collect();
        assert_eq!(all.lines(), expected);
        assert_eq!(host.inspect("c1", "{{.LogPath}}"), "");
        host.docker("run --name c2 --log-driver local busybox printf 'no end'").ok();
        host.docker("logs c2").code(0).stdout("no end");
    });
}

#[test]
fn what_is_sent_to_a_syslog_can_be_read_here_too() {
    on_host(|host| {
        let place = host.places().data_root.with_file_name("syslog");
        let server = std::os::unix::net::UnixDatagram::bind(&place).expect("bind the syslog");
        server.set_read_timeout(Some(DEADLINE)).expect("set a timeout");
        let options = format!(
            "--log-driver syslog --log-opt syslog-address=unixgram://{} \
             --log-opt syslog-format=rfc3164 --log-opt tag={{{{.Name}}}}/x",
            place.display()
        );
        host.docker(&format!("run --name web {options} busybox echo hello")).ok();
        let mut message = [0; 1000];
        let length = server.recv(&mut message).expect("a message");
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        assert!(text.starts_with("<30>") && text.contains(" web/x["), "{text:?}");
        assert!(text.ends_with("]: hello\n"), "{text:?}");
        host.docker("logs web").code(0).stdout("hello\n");
        drop(server);
        std::fs::remove_file(&place).expect("remove the syslog");
        host.docker(&format!("run --name shop {options} busybox true"))
            .code(125)
            .stderr_has("connect to the syslog server");
        host.docker("run --log-driver journald busybox true")
            .code(125)
            .stderr_has("journald is not enabled on this host");
    });
}

#[test]
fn labels_variables_and_a_tag_are_told_with_each_line() {
    on_host(|host| {
        host.docker(
            "run --name c1 -e GREEN=1 -e RED=2 --label kind=web --label other=x \
             --log-opt env-regex=^GR --log-opt labels=kind --log-opt tag={{.Name}} \
             busybox echo hello",
        )
        .ok();
        host.docker("logs --details c1").code(0).stdout("GREEN=1,kind=web,tag=c1 hello\n");
        host.docker("run --log-opt tag={{.Colour}} busybox true").code(125).stderr_has(".Colour");
        host.docker("run --log-opt mode=lazy busybox true").code(125).stderr_has("lazy");
    });
}

#[test]
fn where_lines_may_be_dropped_the_container_goes_on() {
    on_host(|host| {
        let options = "--log-opt mode=non-blocking --log-opt max-buffer-size=4m";
        host.docker(&format!("run --name c1 {options} busybox seq 1 1000")).ok();
        assert_eq!(host.docker("logs c1").lines().len(), 1000);
    });
}

/// Requires that two texts are the same, and says where they part if they aren't.
#[track_caller]
fn assert_same(seen: &str, expected: &str, what: &str) {
    let parted = seen.lines().zip(expected.lines()).position(|(seen, expected)| seen != expected);
    let counts = (seen.lines().count(), expected.lines().count());
    let from = parted.unwrap_or(counts.0.min(counts.1)).saturating_sub(2);
    let around: Vec<_> = seen.lines().skip(from).take(6).collect();
    assert!(seen == expected, "{what}: {counts:?} lines, from line {from} on: {around:?}");
}

#[test]
fn a_follower_survives_any_number_of_rotations() {
    on_host(|host| {
        for (name, driver, size) in [("c1", "json-file", "20k"), ("c2", "local", "5k")] {
            let script = "until [ -e /go ]; do sleep 0.1; done; seq 1 30000";
            host.docker(&format!(
                "run -d --name {name} --log-driver {driver} --log-opt max-size={size} \
                 --log-opt max-file=400 --log-opt compress=true busybox sh -c '{script}'"
            ))
            .ok();
            let following = host.docker_running(&format!("logs -f {name}"));
            let stopped = host.docker_running(&format!("logs -f {name}"));
            host.docker(&format!("exec {name} touch /go")).ok();
            stopped.wait_for_stdout("1\n");
            stopped.signal(Signal::STOP);
            let all: String = (1..=30_000).map(|number| format!("{number}\n")).collect();
            assert_same(&following.wait().code(0).stdout, &all, driver);
            stopped.signal(Signal::CONT);
            assert_same(&stopped.wait().code(0).stdout, &all, &format!("{driver}, read late"));
            let at_last = host.docker(&format!("logs {name}"));
            assert_same(&at_last.stdout, &all, &format!("{driver}, read at last"));
            let last = host.docker(&format!("logs --tail 2500 {name}"));
            assert_eq!(last.lines(), all.lines().skip(27_500).collect::<Vec<_>>(), "{driver}");
        }
    });
}

#[test]
fn a_full_disk_stops_nobody_and_is_counted() {
    if !is_tared("dockerd says so in other words") {
        return;
    }
    on_host(|host| {
        let script = "seq 1 5000; touch /said; until [ -e /go ]; do sleep 0.1; done; echo after";
        host.docker(&format!("create --name c1 busybox sh -c '{script}'")).ok();
        let small = host.scratch("small").display().to_string();
        host.run("mount", &["-t", "tmpfs", "-o", "size=200k", "tmpfs", &small]).ok();
        let (id, root) = (host.inspect("c1", "{{.Id}}"), &host.places().data_root);
        let log = format!("{}/containers/{id}/{id}-json.log", root.display());
        let there = format!("{small}/the.log");
        host.run("ln", &["-s", &there, &log]).ok();
        host.docker("start c1").ok();
        until_true("its output", || host.docker("exec c1 ls /said").code == 0);
        let kept = host.docker("logs c1");
        let kept: Vec<u32> =
            kept.lines().iter().map(|line| line.parse().expect("a whole line")).collect();
        assert!(kept.is_sorted() && kept[0] == 1 && kept.len() < 5000, "{kept:?}");
        // Its owner makes room.
        host.run("truncate", &["-s", "0", &there]).ok();
        host.docker("exec c1 touch /go").ok();
        host.docker("wait c1").code(0).stdout("0\n");
        host.docker("logs c1").code(0).stdout("after\n");
        let told = format!("dropped={}", 5000 - kept.len());
        assert!(host.daemon_log().contains(&told), "{told}: {}", host.daemon_log());
        host.docker("rm c1").ok();
        host.run("umount", &[&small]).ok();
    });
}

#[test]
fn binary_output_is_shown_as_docker_shows_it() {
    on_host(|host| {
        let bytes = r"a\0b\377c\nlast";
        for (driver, shown) in
            [("json-file", "a\0b\u{fffd}c\nlast".as_bytes()), ("local", b"a\0b\xffc\nlast")]
        {
            host.docker(&format!(
                "run --name {driver} --log-driver {driver} busybox printf '{bytes}'"
            ))
            .ok();
            let read = host.docker(&format!("logs {driver} | od -An -v -tx1 | tr -d ' \\n'"));
            let expected: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(read.stdout, expected, "{driver}");
        }
    });
}

#[test]
fn drivers_that_there_are_not_are_named() {
    on_host(|host| {
        host.docker("run --log-driver nonsense busybox true")
            .code(125)
            .stderr_has(r#"error looking up logging plugin nonsense: plugin "nonsense" not found"#);
        host.docker("run --log-opt cache-disabled=maybe busybox true")
            .code(125)
            .stderr_has("invalid value for option cache-disabled: maybe");
        host.docker("run --log-opt colour=red busybox true")
            .code(125)
            .stderr_has("unknown log opt 'colour' for json-file log driver");
        if is_tared("dockerd has fluentd") {
            host.docker("run --log-driver fluentd busybox true").code(125).stderr_has("fluentd");
        }
    });
}
